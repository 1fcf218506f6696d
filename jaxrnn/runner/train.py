"""The training loop of every task: draw a batch, update, look, save, until the last step or a request to stop.

Batches and noise are functions of (seed, step), and `State` is all else that a step depends on. The batch is shared
out over a mesh of devices, each of which computes the gradient of its part; one all-reduce a step takes their mean.
Several seeds are one more axis, at the front of everything, and the same step under vmap.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PyTree
from rich.console import Console

from jaxrnn.runner.best import Best, first_best, good_enough, look, out_of_patience
from jaxrnn.runner.checkpoint import checkpoints, save
from jaxrnn.runner.config import Trained
from jaxrnn.runner.devices import AXIS, make_mesh, on_host, place
from jaxrnn.runner.metrics import metrics_file
from jaxrnn.runner.optimizers import make_optimizer
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.progress import progress
from jaxrnn.runner.seeds import Seeds, described, each, for_each, seeds_of
from jaxrnn.runner.stopping import Stopped, stop_requests
from jaxrnn.sharding import vary


class State(NamedTuple):
    """All that a step depends on beside the seed. With several seeds, axis 0 of every array is theirs."""

    step: Any  # steps taken
    params: Any
    optimizer: Any
    carry: Any


SPECS = State(P(), P(), P(), P(AXIS))


class Begun(NamedTuple):
    """Where a run stands: before its first step, or as a checkpoint left it."""

    state: State  # on the host
    best: Best
    seconds: float = 0.0  # that it took so far


def fit(task: str, problem: Problem, config: Trained, begun: Begun, directory: Path, console: Console) -> Begun:
    """All steps that are left.

    Raises FloatingPointError when a step would not be finite, after the state before it is saved, and Stopped after it
    was asked to stop, by a signal to any of the processes, and has saved the step.
    """
    mesh, optimizer, seeds = make_mesh(config), make_optimizer(config), seeds_of(config)
    best, first = begun.best, int(np.max(begun.state.step)) + 1
    state = place(mesh, begun.state, for_each(seeds, SPECS))
    update = make_update(problem, optimizer, mesh, seeds)
    began = time.perf_counter() - begun.seconds
    with (
        stop_requests() as asked,
        metrics_file(directory) as write,
        checkpoints(directory) as manager,
        progress(console, task, config.steps) as show,
    ):

        def keep(step: int) -> Begun:
            here = on_host(mesh, state)
            save(manager, step, **here._asdict(), best=best)
            return Begun(here, best, time.perf_counter() - began)

        looked = ""
        for step in range(first, config.steps + 1):
            started = time.perf_counter()
            given = inputs(problem, mesh, seeds, step, bool(asked()))
            state, loss, finite, stop = update(state, *given)
            loss, finite, stop = np.asarray(loss), jax.tree.map(np.asarray, finite), np.any(stop)
            if culprit := next(culprits(task, seeds, problem.batch, step, finite), None):
                keep(step - 1)
                raise FloatingPointError(f"{culprit}; {directory} keeps step {step - 1}; lower --rate or --clip")
            now = time.perf_counter()
            speed, seconds = problem.items * loss.size / (now - started), round(now - began, 3)
            values = described(problem.name, loss) | {f"{problem.item}_per_second": round(speed), "seconds": seconds}
            done = step == config.steps
            if done or step % config.evaluate_every == 0:
                best, scores = look(problem, best, step, on_host(mesh, state.params), seeds)
                values |= scores
                done |= good_enough(problem, best)
                done |= bool(config.patience) and out_of_patience(best, step, config.patience * config.evaluate_every)
                looked = "  ".join(f"{k} {v:.3f}" for k, v in list(scores.items())[:1])
            write(step=step, **values)
            show(step, f"{loss.mean():.3f} {problem.unit}  {looked}  {speed:,.0f} {problem.item}/s")
            if stop or done or step % config.checkpoint_every == 0:
                begun = keep(step)
            if stop:
                words = f"{task}: stopped at step {step}, which is saved in {directory}"
                raise Stopped(asked() or signal.SIGTERM, words)
            if done:
                break
    return begun


def start(problem: Problem, config: Trained) -> Begun:
    """A run before its first step."""
    optimizer, seeds = make_optimizer(config), seeds_of(config)

    def begin(seed: int) -> State:
        params = problem.layer.init(jax.random.split(jax.random.key(seed), 3)[0])
        return State(jnp.int32(0), params, optimizer.init(params), problem.carry(params))

    state = jax.tree.map(np.asarray, each(seeds, begin))
    return Begun(state, first_best(problem, state.params, seeds))


def inputs(problem: Problem, mesh: Mesh, seeds: Seeds, step: int, stop: bool) -> tuple[Array, PyTree, Array]:
    """What enters step number `step` beside the state: seeds, batch, and whether each device's process should stop."""
    batch = each(seeds, lambda seed: problem.batch(seed, step - 1))
    arrays = np.asarray(seeds, np.uint32), batch, np.full(mesh.size, stop)
    return place(mesh, arrays, (P(), for_each(seeds, problem.specs), P(AXIS)))


class Finite(NamedTuple):
    """Whether each thing is finite that could keep a step from being taken."""

    loss: Any
    gradient: PyTree
    update: PyTree  # the parameters after it


def make_update(problem: Problem, optimizer: optax.GradientTransformation, mesh: Mesh, seeds: Seeds):
    """update(state, seed, batch, stop) -> (state, loss, Finite, whether any should stop), compiled for the mesh.

    Where anything is not finite, for any of the seeds, the state comes back as it was given. The parameters are told
    apart on each device before they are differentiated: left to the partitioner, the mean of the weights' gradient is
    taken at every step of the loop over time.
    """

    def propose(state: State, seed: Array, batch: PyTree, stop: Array) -> tuple[State, Array, Finite, Array]:
        key = jax.random.fold_in(jax.random.split(jax.random.key(seed), 3)[1], state.step + 1)
        if mesh.size > 1:
            key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))  # noise of its own for each part of the batch
        params = vary(state.params, frozenset({AXIS}))
        (loss, carry), grads = jax.value_and_grad(problem.loss, has_aux=True)(params, state.carry, batch, key)
        grads, loss, stops = mean_of_devices((grads, loss, stop.mean(dtype=loss.dtype)))
        updates, inner = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        finite = jax.tree.map(lambda a: jnp.isfinite(a).all(), Finite(loss, grads, params))
        return State(state.step + 1, params, inner, carry), loss, finite, stops > 0

    proposed = propose if isinstance(seeds, int) else jax.vmap(propose, (0, 0, 0, None))

    def update(state: State, seed: Array, batch: PyTree, stop: Array) -> tuple[State, Array, Finite, Array]:
        after, loss, finite, stop = proposed(state, seed, batch, stop)
        good = jnp.stack([leaf.all() for leaf in jax.tree.leaves(finite)]).all()  # for every seed
        return jax.tree.map(lambda new, old: jnp.where(good, new, old), after, state), loss, finite, stop

    specs = for_each(seeds, SPECS)
    given = specs, P(), for_each(seeds, problem.specs), P(AXIS)
    shared = jax.shard_map(update, mesh=mesh, in_specs=given, out_specs=(specs, P(), P(), P()))
    return jax.jit(shared, donate_argnums=0)


def culprits(task: str, seeds: Seeds, batch: Any, step: int, finite: Finite) -> Iterator[str]:
    """What was not finite at a step, the earliest cause first."""
    if all(leaf.all() for leaf in jax.tree.leaves(finite)):
        return
    for k, seed in enumerate([seeds] if isinstance(seeds, int) else seeds):
        one = finite if isinstance(seeds, int) else jax.tree.map(lambda leaf, k=k: leaf[k], finite)
        whose = f"{task}: step {step}" + ("" if isinstance(seeds, int) else f" of seed {seed}")
        for path, leaf in jax.tree.leaves_with_path(batch(seed, step - 1)):
            bad = np.argwhere(~np.isfinite(leaf)) if np.issubdtype(np.asarray(leaf).dtype, np.inexact) else []
            if len(bad):
                yield f"{whose}: batch{jax.tree_util.keystr(path)} is not finite at {bad[0].tolist()}"
        for name, tree in zip(("the loss", "the gradient of ", "the updated "), one, strict=True):
            for path, leaf in jax.tree.leaves_with_path(tree):
                if not leaf:
                    yield f"{whose}: {name}{jax.tree_util.keystr(path)} is not finite"


def mean_of_devices(tree: PyTree) -> PyTree:
    """The mean over the mesh, all leaves in one all-reduce. One device sends nothing, and needs no copy to send."""
    if jax.lax.axis_size(AXIS) == 1:
        return jax.lax.pmean(tree, AXIS)
    flat, unravel = ravel_pytree(tree)
    return unravel(jax.lax.pmean(flat, AXIS))
