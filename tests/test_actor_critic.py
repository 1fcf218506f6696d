"""The example of reinforcement learning: its maze, its returns, and what `reset` does for it."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import actor_critic
from experiments.actor_critic import EAST, NORTH, SOUTH, WEST, Config, Maze

CONFIG = Config(shortest=2, longest=3, limit=6, units=4)

MOVES = [  # where the goal lies, place in a corridor of 3, action -> reward, done, right
    (NORTH, 3, NORTH, 4.0, True, True),
    (NORTH, 3, SOUTH, -0.1, True, False),
    (SOUTH, 3, SOUTH, 4.0, True, True),
    (SOUTH, 3, NORTH, -0.1, True, False),
    (NORTH, 3, EAST, -0.1, False, False),
    (NORTH, 3, WEST, 0.0, False, False),
    (NORTH, 2, NORTH, -0.1, False, False),
    (NORTH, 2, SOUTH, -0.1, False, False),
    (NORTH, 2, EAST, 0.0, False, False),
    (NORTH, 0, WEST, -0.1, False, False),
]


def walk(action, T, mazes=8):
    """(mazes before each of T steps, outcomes), all agents doing action(maze)."""

    def step(maze, key):
        after, outcome = actor_critic.move(CONFIG, maze, action(maze), key)
        return after, (maze, outcome)

    start = actor_critic.enter(CONFIG, mazes, jax.random.key(0))
    return jax.lax.scan(step, start, jax.random.split(jax.random.key(1), T))[1]


def test_the_turn_to_the_goal_alone_is_rewarded():
    goal, place, action, *wanted = map(np.array, zip(*MOVES, strict=True))
    time, length = jnp.ones(len(MOVES), jnp.int32), jnp.full(len(MOVES), 3, jnp.int32)
    maze = Maze(jnp.array(goal == NORTH), length, jnp.array(place, jnp.int32), time)
    after, outcome = actor_critic.move(CONFIG, maze, jnp.array(action), jax.random.key(0))
    for came, want in zip(outcome, wanted, strict=True):
        np.testing.assert_array_equal(came, want)
    stride = {NORTH: 0, SOUTH: 0, EAST: 1, WEST: -1}
    arrives = np.clip(place + [stride[int(a)] for a in action], 0, 3)
    done = np.array(outcome.done)
    np.testing.assert_array_equal(after.place, np.where(done, 0, arrives))
    np.testing.assert_array_equal(after.time, np.where(done, 0, 2))


def test_the_cue_is_seen_at_the_first_step_of_an_episode_alone():
    def to_the_goal(maze):
        return jnp.where(maze.place < maze.length, EAST, jnp.where(maze.north, NORTH, SOUTH))

    mazes, outcome = walk(to_the_goal, 20)
    first = np.concatenate([np.ones((1, 8), bool), outcome.done[:-1]])
    seen = np.array(actor_critic.observe(mazes))
    told = np.where(mazes.north[..., None], actor_critic.TOLD_NORTH, actor_critic.TOLD_SOUTH)
    np.testing.assert_array_equal(seen[first], told[first])
    turns = np.array(outcome.done)  # who walks straight to the goal ends at the junction and nowhere else
    np.testing.assert_array_equal(seen[turns], np.broadcast_to(actor_critic.JUNCTION, seen[turns].shape))
    between = ~first & ~turns
    np.testing.assert_array_equal(seen[between], np.broadcast_to(actor_critic.CORRIDOR, seen[between].shape))
    assert (outcome.right == outcome.done).all()
    assert {2, 3} == set(np.array(mazes.length).ravel().tolist())
    assert 0.3 < np.mean(mazes.north[first]) < 0.7


def test_who_stays_at_the_start_sees_the_cue_once_and_fails_at_the_limit():
    mazes, outcome = walk(lambda maze: jnp.full_like(maze.place, WEST), 14)
    step = np.broadcast_to(np.arange(14)[:, None], (14, 8))
    np.testing.assert_array_equal(outcome.done, (step + 1) % CONFIG.limit == 0)
    assert not outcome.right.any()
    sees_corridor = (np.array(actor_critic.observe(mazes)) == actor_critic.CORRIDOR).all(axis=-1)
    np.testing.assert_array_equal(sees_corridor, step % CONFIG.limit != 0)


def test_an_advantage_is_the_discounted_sum_up_to_the_end_of_the_episode():
    T, B = 5, 2
    keys = jax.random.split(jax.random.key(0), 3)
    reward, values = jax.random.normal(keys[0], (T, B)), jax.random.normal(keys[1], (T + 1, B))
    done = jax.random.bernoulli(keys[2], 0.3, (T, B))
    came = actor_critic.advantages(CONFIG, actor_critic.Outcome(reward, done, done), values)
    reward, values, done = map(np.array, (reward, values, done))
    assert done.any()
    for t in range(T):
        for b in range(B):
            total, weight = 0.0, 1.0
            for k in range(t, T):
                goes_on = not done[k, b]
                total += weight * (reward[k, b] + CONFIG.discount * goes_on * values[k + 1, b] - values[k, b])
                weight *= CONFIG.discount * CONFIG.decay * goes_on
            np.testing.assert_allclose(came[t, b], total, rtol=1e-12)


@functools.cache
def acting():
    """The layer and a compiled rollout of 16 steps in 8 mazes, with the same sequence read once more in one call."""
    layer = actor_critic.network(CONFIG)

    @jax.jit
    def act(key, forgets):
        key_params, key_mazes, key_steps = jax.random.split(key, 3)
        params = layer.init(key_params)
        before = actor_critic.begin(CONFIG, layer, params, 8, key_mazes)
        after, moments = actor_critic.rollout(CONFIG, layer, params, before, forgets, jax.random.split(key_steps, 16))
        return params, moments, actor_critic.whole(layer, params, before, after, moments)

    return layer, act


@pytest.mark.parametrize("forgets", [False, True])
def test_the_steps_of_a_rollout_are_the_whole_sequence_with_resets(forgets):
    layer, act = acting()
    params, moments, ys = act(jax.random.key(0), jnp.array(forgets))
    np.testing.assert_allclose(ys[:-1], moments.y, rtol=1e-12, atol=1e-12)
    assert moments.outcome.done[:-1].any()
    np.testing.assert_array_equal(moments.fresh[1:], moments.outcome.done[:-1] | forgets)
    _, without_resets = layer.apply(params, layer.carry((8,), params), moments.x)
    assert float(jnp.abs(without_resets - moments.y).max()) > 1e-3
    if forgets:  # what is said depends on what is seen at that moment, and on nothing else
        _, alone = layer.apply(params, layer.carry((16, 8), params), moments.x[None])
        np.testing.assert_allclose(moments.y, alone[0], rtol=1e-12, atol=1e-12)


def test_memory_is_what_wins(tmp_path, capsys):
    """A tiny run from end to end: a short corridor is learnt in seconds."""
    small = Config(
        seeds=2, updates=150, mazes=32, steps=8, shortest=1, longest=2, limit=8, units=8, rate=0.02, out=tmp_path
    )
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        actor_critic.main(config=small)
    result = json.loads((tmp_path / "actor_critic.json").read_text())
    assert result["config"]["updates"] == 150
    assert result["environment_steps"] == 150 * 32 * 8 == result["training_environment_steps"][-1]
    assert result["greatest_disagreement_of_single_steps_and_whole_sequence"] < 1e-5
    assert min(result["policies"]["with memory"]["success_of_each_seed"]) > 0.9
    assert max(result["policies"]["without memory"]["success_of_each_seed"]) < 0.58  # 1/2 and five deviations of 1,000
    for policy in result["policies"].values():
        mean, least, greatest = (np.array(policy["training_success"][of]) for of in ("mean", "min", "max"))
        assert len(mean) == len(result["training_environment_steps"])
        assert (least <= mean).all()
        assert (mean <= greatest).all()
    assert (tmp_path / "actor_critic.png").read_bytes().startswith(b"\x89PNG")
    assert "with memory" in capsys.readouterr().out


def test_a_corridor_that_cannot_be_walked_within_the_limit_is_refused():
    with pytest.raises(ValueError, match="are 5, 15, 15, wanted shortest <= longest < limit"):
        Config(limit=15)
