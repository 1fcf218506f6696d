"""The training loop of every task: draw a batch, update, look, save, until the last step or a request to stop.

Batches and noise are functions of (seed, step), and `State` is all else that a step depends on. The batch is shared
out over a mesh of devices, each of which computes the gradient of its part; one all-reduce a step takes their mean.
Several seeds are one more axis, at the front of everything, and the same step under vmap.
"""

import contextlib
import signal
import threading
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
from jaxrnn.runner.draws import noise
from jaxrnn.runner.metrics import metrics_file
from jaxrnn.runner.numbers import number
from jaxrnn.runner.optimizers import make_optimizer
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.progress import progress
from jaxrnn.runner.seeds import Seeds, described, each, for_each, seeds_of
from jaxrnn.runner.stopping import Stopped, asked, held, on_abandoning
from jaxrnn.runner.tensorboard import events
from jaxrnn.runner.watching import make_watch
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
    pending: dict[str, Any] | None = None  # the last step's line of metrics.jsonl, whose look was cut short


def fit(task: str, problem: Problem, config: Trained, begun: Begun, directory: Path, console: Console) -> Begun:
    """All steps that are left.

    Raises FloatingPointError when a step would not be finite, after the state before it is saved, and Stopped after it
    was asked to stop, by a signal to any of the processes, and has saved the last step.
    """
    mesh, optimizer, seeds = make_mesh(config), make_optimizer(config), seeds_of(config)
    best, line = begun.best, begun.pending
    step = saved = first = int(np.max(begun.state.step))
    state = place(mesh, begun.state, for_each(seeds, SPECS))
    watch = make_watch(problem, seeds, begun.state.params, begun.state.carry) if config.watch else None
    update = make_update(problem, optimizer, mesh, seeds)
    began, ends, looked = time.perf_counter() - begun.seconds, threading.Lock(), ""
    with (
        metrics_file(directory) as write,
        events(directory, config.tensorboard, first + 1) as log,
        checkpoints(directory) as manager,
        progress(console, task, config.steps) as show,
        together(),
    ):

        def keep() -> Begun:
            nonlocal saved
            here = on_host(mesh, state)
            if step != saved:
                save(manager, step, pending=line, **here._asdict(), best=best)
                saved = step
            return Begun(here, best, time.perf_counter() - began)

        def stop_here(number: int = 0) -> None:
            """The last step taken is on the disk, with its line, or the line in it where the look is yet to come."""
            nonlocal line
            with held(), ends:
                if line and not look_is_due(config, step):
                    write(step=step, **line)
                    line = None
                if step != saved:
                    keep()

        try:
            with on_abandoning(stop_here):
                while True:
                    if line is not None:
                        if look_is_due(config, step):
                            show(step, f"looking at the {problem.splits[0]} part", between=True)
                            best, scores = look(problem, best, step, on_host(mesh, state.params), seeds)
                            line |= scores
                            if watch:
                                line |= watch(*on_host(mesh, (state.params, state.carry)), step)
                            looked = "  ".join(f"{k} {number(v)}" for k, v in list(scores.items())[:1])
                        with held():
                            write(step=step, **line)
                            log(step, line)
                            now, speed = line[problem.name], line[f"{problem.item}_per_second"]
                            show(step, f"{problem.name} {number(now)}  {looked}  {speed:,.0f} {problem.item}/s")
                            line = None
                    done = step >= config.steps or is_out_of_patience(config, best, step) or good_enough(problem, best)
                    if done or (step != saved and step % config.checkpoint_every == 0):
                        with held():
                            begun = keep()
                    if done:
                        return begun
                    with held(precious=step > first):  # the first compiles, and has nothing to lose
                        started = time.perf_counter()
                        given = inputs(problem, mesh, seeds, step + 1, bool(asked()))
                        state, loss, finite, stop = update(state, *given)
                        loss, finite, stop = np.asarray(loss), jax.tree.map(np.asarray, finite), np.any(stop)
                        if culprit := next(culprits(task, seeds, problem.batch, step + 1, finite), None):
                            keep()
                            raise FloatingPointError(
                                f"{culprit}; {directory} keeps step {step}; lower --rate or --clip"
                            )
                        now, step = time.perf_counter(), step + 1
                        line = described(problem.name, loss)
                        line[f"{problem.item}_per_second"] = round(problem.items * loss.size / (now - started))
                        line["seconds"] = round(now - began, 3)
                    if stop:
                        raise Stopped(asked() or signal.SIGTERM, agreed=True)
        except Stopped:
            stop_here()
            raise


def look_is_due(config: Trained, step: int) -> bool:
    return step == config.steps or step % config.evaluate_every == 0


def is_out_of_patience(config: Trained, best: Best, step: int) -> bool:
    looks = config.patience * config.evaluate_every
    return bool(looks) and look_is_due(config, step) and out_of_patience(best, step, looks)


def together() -> contextlib.AbstractContextManager[None]:
    """Several processes stop at the step that they agree on, never one alone."""
    return held() if jax.process_count() > 1 else contextlib.nullcontext()


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
    optimizer: PyTree  # its state after it
    carry: PyTree


def make_update(problem: Problem, optimizer: optax.GradientTransformation, mesh: Mesh, seeds: Seeds):
    """update(state, seed, batch, stop) -> (state, loss, Finite, whether any should stop), compiled for the mesh.

    Where anything is not finite, for any of the seeds, the state comes back as it was given. The parameters are told
    apart on each device before they are differentiated: left to the partitioner, the mean of the weights' gradient is
    taken at every step of the loop over time.
    """

    def propose(state: State, seed: Array, batch: PyTree, stop: Array) -> tuple[State, Array, Finite, Array]:
        key = noise(seed, state.step)
        if mesh.size > 1:
            key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))  # noise of its own for each part of the batch
        params = vary(state.params, frozenset({AXIS}))
        (loss, carry), grads = jax.value_and_grad(problem.loss, has_aux=True)(params, state.carry, batch, key)
        sick = jax.tree.map(lambda a: jnp.mean(~jnp.isfinite(a), dtype=loss.dtype), carry)  # the devices' own, each
        grads, loss, sick, stops = mean_of_devices((grads, loss, sick, stop.mean(dtype=loss.dtype)))
        updates, inner = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        finite = jax.tree.map(lambda a: jnp.isfinite(a).all(), Finite(loss, grads, params, inner, ()))
        finite = finite._replace(carry=jax.tree.map(lambda a: a == 0, sick))
        return State(state.step + 1, params, inner, carry), loss, finite, stops > 0

    proposes = propose if isinstance(seeds, int) else jax.vmap(propose, (0, 0, 0, None))

    def update(state: State, seed: Array, batch: PyTree, stop: Array) -> tuple[State, Array, Finite, Array]:
        after, loss, finite, stops = proposes(state, seed, batch, stop)
        good = jnp.stack(jax.tree.leaves(finite)).all()
        return jax.tree.map(lambda new, old: jnp.where(good, new, old), after, state), loss, finite, stops

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
        names = Finite("the loss", "the gradient of ", "the updated ", "the optimizer's ", "the carry ")
        for name, tree in zip(names, one, strict=True):
            for path, leaf in jax.tree.leaves_with_path(tree):
                if not leaf:
                    yield f"{whose}: {name}{jax.tree_util.keystr(path)} is not finite"


def mean_of_devices(tree: PyTree) -> PyTree:
    """The mean over the mesh, all leaves in one all-reduce. One device sends nothing, and needs no copy to send."""
    if jax.lax.axis_size(AXIS) == 1:
        return jax.lax.pmean(tree, AXIS)
    flat, unravel = ravel_pytree(tree)
    return unravel(jax.lax.pmean(flat, AXIS))
