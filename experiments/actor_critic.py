"""An actor-critic with memory, and the same network without: a T-maze where the way is told once, at the start.

    pip install -e ".[cli]" && python experiments/actor_critic.py

The maze is Bakker's (Reinforcement Learning with Long Short-Term Memory, NIPS 14, 2002), with his observations,
rewards and discount. An agent enters a corridor and is told whether the goal lies north or south of the T-junction at
its end; from then on it sees "corridor" and, once there, "junction". The right turn brings 4, the wrong one -0.1, and
so does every step that leads nowhere. Ours differs in three points, so that nothing but memory helps: the corridor's
length is drawn anew for every episode, the cue is shown at the first step alone, and an episode that lasts `limit`
steps has failed.

                                                           goal, where the cue was 011
    cue 011 or 110   corridor 101   ...   corridor 101   junction 010
                                                           goal, where the cue was 110

Without memory no policy succeeds more often than in 1/2 of the episodes. What it sees at the junction says nothing of
the cue, so if it turns, it turns north with the same probability q whatever the cue was: q/2 + (1 - q)/2 = 1/2.

The network is a GRU and a dense layer that gives the logits of the four actions and the value, trained by advantage
actor-critic (Mnih et al. 2016, here synchronous) with generalised advantage estimation (Schulman et al. 2016). The
network without memory is the same one with `reset` true at every step: it starts afresh each time, with as many params
and from the same ones. All networks of all seeds are trained by one compiled call. Writes results/actor_critic.json
and .png beside this file.
"""

import dataclasses
import functools
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cyclopts
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, PositiveFloat, PositiveInt
from cyclopts.validators import Number
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxrnn import Layer, dense, gru, stack, unroll
from jaxrnn.runner import record

NORTH, EAST, SOUTH, WEST = range(4)
TOLD_NORTH, TOLD_SOUTH, CORRIDOR, JUNCTION = (0, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 0)
POLICIES = {"with memory": False, "without memory": True}  # whether it forgets at every step
BEST_WITHOUT_MEMORY = 0.5
EXAMINED = 1000  # new mazes for each trained network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Train an actor-critic with memory and one without, several of each, and write the result and its picture.

    Parameters
    ----------
    seeds
        Networks of each kind.
    updates
        Updates of the weights.
    mazes
        Mazes side by side.
    steps
        Steps in each maze from one update to the next; backpropagation goes through all of them.
    shortest
        Steps from the start to the junction, at least.
    longest
        Steps from the start to the junction, at most.
    limit
        Steps after which an episode has failed.
    units
        Width of the GRU.
    rate
        Adam's learning rate.
    clip
        Greatest norm of the gradient.
    discount
        Discount of rewards, a step (Bakker's).
    decay
        The lambda of generalised advantage estimation.
    entropy
        Weight of the entropy bonus.
    out
        Directory for actor_critic.json and actor_critic.png [results, beside this file].
    """

    seeds: Annotated[int, Parameter(validator=Number(gte=2))] = 8
    updates: PositiveInt = 400
    mazes: PositiveInt = 64
    steps: PositiveInt = 32
    shortest: PositiveInt = 5
    longest: PositiveInt = 15
    limit: PositiveInt = 100
    units: PositiveInt = 32
    rate: PositiveFloat = 3e-3
    clip: PositiveFloat = 0.5
    discount: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.98
    decay: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.95
    entropy: NonNegativeFloat = 0.01
    out: Path = Path(__file__).parent / "results"

    def __post_init__(self) -> None:
        if not self.shortest <= self.longest < self.limit:
            came = f"{self.shortest}, {self.longest}, {self.limit}"
            raise ValueError(f"actor_critic: shortest, longest, limit are {came}, wanted shortest <= longest < limit")


# -- the maze


class Maze(NamedTuple):
    """Many mazes side by side; every function below is elementwise over them."""

    north: Bool[Array, "mazes"]  # where the goal lies
    length: Int[Array, "mazes"]  # steps to the junction
    place: Int[Array, "mazes"]
    time: Int[Array, "mazes"]


class Outcome(NamedTuple):
    reward: Float[Array, "mazes"]
    done: Bool[Array, "mazes"]
    right: Bool[Array, "mazes"]  # the turn was made, and to the goal


def enter(config: Config, mazes: int, key: PRNGKeyArray) -> Maze:
    key_goal, key_length = jax.random.split(key)
    start = jnp.zeros(mazes, jnp.int32)
    length = jax.random.randint(key_length, (mazes,), config.shortest, config.longest + 1, jnp.int32)
    return Maze(jax.random.bernoulli(key_goal, shape=(mazes,)), length, start, start)


def observe(maze: Maze) -> Float[Array, "mazes 3"]:
    told = jnp.where(maze.north[..., None], jnp.array(TOLD_NORTH), jnp.array(TOLD_SOUTH))
    seen = jnp.where((maze.place == maze.length)[..., None], jnp.array(JUNCTION), jnp.array(CORRIDOR))
    return jnp.where((maze.time == 0)[..., None], told, seen).astype(float)


def move(config: Config, maze: Maze, action: Int[Array, "mazes"], key: PRNGKeyArray) -> tuple[Maze, Outcome]:
    """One step in each. A maze whose episode ends comes back as a new one."""
    turned = (maze.place == maze.length) & ((action == NORTH) | (action == SOUTH))
    right = turned & ((action == NORTH) == maze.north)
    stride = jnp.where(action == EAST, 1, jnp.where(action == WEST, -1, 0))
    place = jnp.clip(maze.place + stride, 0, maze.length)
    done = turned | (maze.time + 1 == config.limit)
    reward = jnp.where(right, 4.0, jnp.where(place == maze.place, -0.1, 0.0))  # a wrong turn, or standing still
    after = maze._replace(place=place, time=maze.time + 1)
    new = enter(config, len(action), key)
    return jax.tree.map(lambda a, b: jnp.where(done, a, b), new, after), Outcome(reward, done, right)


# -- acting and learning


class World(NamedTuple):
    """What goes on from one update to the next, beside the params."""

    mazes: Maze
    carry: Any
    fresh: Bool[Array, "mazes"]  # the next step starts afresh: it is the first of an episode


class Moment(NamedTuple):
    """What was seen, said and done at a step, in every maze."""

    x: Float[Array, "mazes 3"]
    fresh: Bool[Array, "mazes"]
    y: Float[Array, "mazes 5"]
    action: Int[Array, "mazes"]
    outcome: Outcome


def network(config: Config) -> Layer:
    """ys [..., 5]: four logits, then the value."""
    return stack(unroll(gru(3, config.units)), dense(config.units, 5))


def begin(config: Config, layer: Layer, params: PyTree, mazes: int, key: PRNGKeyArray) -> World:
    return World(enter(config, mazes, key), layer.carry((mazes,), params), jnp.ones(mazes, bool))


def rollout(
    config: Config, layer: Layer, params: PyTree, world: World, forgets: Bool[Array, ""], keys: PRNGKeyArray
) -> tuple[World, Moment]:
    """A step a key in every maze, the carry handed on: (world after, moments along time [T, mazes, ...]).

    The end of an episode at t makes the step at t + 1 start afresh; a policy that forgets does so at every step.
    """

    def act(world: World, key: PRNGKeyArray) -> tuple[World, Moment]:
        key_action, key_mazes = jax.random.split(key)
        x = observe(world.mazes)
        carry, ys = layer.apply(params, world.carry, x[None], reset=world.fresh[None])
        action = jax.random.categorical(key_action, ys[0, :, :4])
        mazes, outcome = move(config, world.mazes, action, key_mazes)
        return World(mazes, carry, outcome.done | forgets), Moment(x, world.fresh, ys[0], action, outcome)

    return jax.lax.scan(act, world, keys)


def whole(layer: Layer, params: PyTree, before: World, after: World, moments: Moment) -> Float[Array, "T+1 mazes 5"]:
    """The ys of a rollout again, in one call, and those of the moment after it, whose value the last return needs."""
    xs = jnp.concatenate([moments.x, observe(after.mazes)[None]])
    fresh = jnp.concatenate([moments.fresh, after.fresh[None]])
    _, ys = layer.apply(params, before.carry, xs, reset=fresh)
    return ys


def advantages(config: Config, outcome: Outcome, values: Float[Array, "T+1 mazes"]) -> Float[Array, "T mazes"]:
    """A_t = d_t + g l A_t+1 with d_t = r_t + g v_t+1 - v_t, and nothing from beyond the end of an episode."""

    def back(later: Array, moment: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, done, value, next_value = moment
        goes_on = jnp.where(done, 0.0, config.discount)
        later = reward + goes_on * next_value - value + goes_on * config.decay * later
        return later, later

    moments = outcome.reward, outcome.done, values[:-1], values[1:]
    return jax.lax.scan(back, jnp.zeros_like(values[0]), moments, reverse=True)[1]


def loss(config: Config, layer: Layer, params: PyTree, before: World, after: World, moments: Moment) -> Array:
    ys = whole(layer, params, before, after, moments)
    logits, values = jax.nn.log_softmax(ys[:-1, :, :4]), ys[..., 4]
    advantage = jax.lax.stop_gradient(advantages(config, moments.outcome, values))
    chosen = jnp.take_along_axis(logits, moments.action[..., None], axis=-1)[..., 0]
    actor = -jnp.mean(chosen * advantage)
    returns = jax.lax.stop_gradient(values[:-1]) + advantage
    critic = jnp.mean(jnp.square(returns - values[:-1])) / 2
    entropy = -jnp.mean(jnp.sum(jnp.exp(logits) * logits, axis=-1))
    return actor + critic - config.entropy * entropy


class Training(NamedTuple):
    """What became of one network."""

    ended: Int[Array, "updates"]  # episodes that ended between two updates
    right: Int[Array, "updates"]  # those of them that ended at the goal
    success: Float[Array, ""]  # share of the first episodes of new mazes that end at the goal
    disagreement: Float[Array, ""]  # greatest, between the ys of single steps and those of the whole sequence


def train(config: Config, key: PRNGKeyArray, forgets: Bool[Array, ""]) -> Training:
    layer = network(config)
    optimizer = optax.chain(optax.clip_by_global_norm(config.clip), optax.adam(config.rate))
    key_params, key_mazes, key_updates, key_examination = jax.random.split(key, 4)
    params = layer.init(key_params)
    world = begin(config, layer, params, config.mazes, key_mazes)

    def update(state: tuple[Any, Any, World], key: PRNGKeyArray) -> tuple[Any, tuple[Array, Array]]:
        params, moving, world = state
        after, moments = rollout(config, layer, params, world, forgets, jax.random.split(key, config.steps))
        grads = jax.grad(functools.partial(loss, config, layer))(params, world, after, moments)
        updates, moving = optimizer.update(grads, moving, params)
        counts = moments.outcome.done.sum(), moments.outcome.right.sum()
        return (optax.apply_updates(params, updates), moving, after), counts

    keys = jax.random.split(key_updates, config.updates)
    (params, *_), (ended, right) = jax.lax.scan(update, (params, optimizer.init(params), world), keys)
    return Training(ended, right, *examine(config, layer, params, forgets, key_examination))


def examine(
    config: Config, layer: Layer, params: PyTree, forgets: Bool[Array, ""], key: PRNGKeyArray
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(success, disagreement) in new mazes; all their first episodes end within the limit, and all are counted."""
    key_mazes, key_steps = jax.random.split(key)
    before = begin(config, layer, params, EXAMINED, key_mazes)
    after, moments = rollout(config, layer, params, before, forgets, jax.random.split(key_steps, config.limit))
    first = jnp.cumsum(moments.outcome.done, axis=0) - moments.outcome.done == 0
    again = whole(layer, params, before, after, moments)[:-1]
    return (moments.outcome.right & first).any(axis=0).mean(), jnp.abs(again - moments.y).max()


# -- the result


def main(*, config: Annotated[Config | None, Parameter(name="*")] = None) -> None:
    """Train an actor-critic with memory and one without, several of each, and write the result and its picture."""
    config = config or Config()
    result: dict[str, Any] = {
        "command": ["python", "experiments/actor_critic.py", *sys.argv[1:]],
        "config": {name: value for name, value in dataclasses.asdict(config).items() if name != "out"},
        **record.provenance(),
    }
    keys = jax.vmap(jax.random.key)(jnp.arange(config.seeds))  # the same for both kinds: they start from equal params
    both = jnp.tile(keys, 2), jnp.repeat(jnp.array(list(POLICIES.values())), config.seeds)
    began = time.perf_counter()
    compiled = jax.jit(jax.vmap(functools.partial(train, config))).lower(*both).compile()
    ready = time.perf_counter()
    training = jax.tree.map(np.asarray, compiled(*both))
    result |= {
        "compile_seconds": round(ready - began, 1),
        "run_seconds": round(time.perf_counter() - ready, 1),
        **summary(config, training),
    }
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / "actor_critic.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    plot(config.out / "actor_critic.png", result)
    report(result)


def summary(config: Config, training: Training) -> dict[str, Any]:
    """The figures of all networks, those with memory first."""
    layer = network(config)
    params = jax.eval_shape(layer.init, jax.random.key(0))
    points = np.linspace(0, config.updates, min(40, config.updates) + 1).astype(int)
    ended, right = (np.add.reduceat(counts, points[:-1], axis=1) for counts in (training.ended, training.right))
    curves = right / np.maximum(ended, 1)  # none ended: none at the goal
    policies = {}
    for k, name in enumerate(POLICIES):
        mine = slice(k * config.seeds, (k + 1) * config.seeds)
        success = training.success[mine].astype(float)
        policies[name] = {
            "success_mean": round(success.mean(), 4),
            "success_standard_deviation": round(success.std(ddof=1), 4),
            "success_of_each_seed": success.round(4).tolist(),
            "training_success": {
                of: getattr(curves[mine], of)(axis=0).round(3).tolist() for of in ("mean", "min", "max")
            },
        }
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "environment_steps": config.updates * config.mazes * config.steps,
        "episodes_examined": EXAMINED,
        "best_success_without_memory": BEST_WITHOUT_MEMORY,
        "greatest_disagreement_of_single_steps_and_whole_sequence": float(training.disagreement.max()),
        "policies": policies,
        "training_environment_steps": (points[1:] * config.mazes * config.steps).tolist(),
    }


def plot(path: Path, result: dict[str, Any]) -> None:
    """Success while training, the mean over the seeds and a band from the least to the greatest."""
    figure = matplotlib.figure.Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    steps = np.array(result["training_environment_steps"]) / 1000
    seeds = result["config"]["seeds"]
    for color, (name, policy) in zip(("C0", "C1"), result["policies"].items(), strict=True):
        curve = policy["training_success"]
        axes.plot(steps, curve["mean"], color=color, label=f"{name}: mean of {seeds} seeds")
        band = f"{name}: least to greatest"
        axes.fill_between(steps, curve["min"], curve["max"], color=color, alpha=0.2, linewidth=0, label=band)
    best = f"best possible without memory: {BEST_WITHOUT_MEMORY}"
    axes.axhline(BEST_WITHOUT_MEMORY, color="0.3", linestyle="--", linewidth=1, label=best)
    axes.set(
        title="T-maze: a GRU actor-critic, and the same network reset at every step",
        xlabel="environment steps, thousands",
        ylabel="share of episodes that end at the goal",
        xlim=(0, steps[-1]),
        ylim=(0, 1.02),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def report(result: dict[str, Any]) -> None:
    print(f"share of {EXAMINED} new episodes that end at the goal, mean and standard deviation over the seeds")
    for name, policy in result["policies"].items():
        print(f"  {name:<30}{policy['success_mean']:.3f}  {policy['success_standard_deviation']:.3f}")
    print(f"  {'best possible without memory':<30}{BEST_WITHOUT_MEMORY:.3f}")
    print(f"compiled in {result['compile_seconds']} s, ran in {result['run_seconds']} s")


if __name__ == "__main__":
    cyclopts.run(main)
