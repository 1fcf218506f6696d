"""The training loop of every task: draw a batch, update, look, save, until the last step or a request to stop.

Batches and noise are functions of (seed, step), and `State` is all else that a step depends on. The batch is shared
out over a mesh of devices, each of which computes the gradient of its part; one all-reduce a step takes their mean.
Several seeds are one more axis, at the front of everything, and the same step under vmap.
"""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from rich.console import Console

from jaxrnn.runner.checkpoint import checkpoints, save
from jaxrnn.runner.config import Trained
from jaxrnn.runner.devices import AXIS, make_mesh, on_host, place
from jaxrnn.runner.metrics import metrics_file
from jaxrnn.runner.progress import progress
from jaxrnn.runner.seeds import Seeds, described, each, for_each, seeds_of
from jaxrnn.runner.stopping import Stopped, stop_requests
from jaxrnn.sharding import vary


class Problem(NamedTuple):
    """What a task gives the loop."""

    init: Callable[[PRNGKeyArray], tuple[PyTree, PyTree]]  # key -> (params, carry), the carry's axis 0 the batch
    batch: Callable[[int, int], PyTree]  # (seed, step from 0) -> NumPy arrays
    specs: PyTree[P]  # which axis of the batch's arrays is shared out
    loss: Callable[..., tuple[Float[Array, ""], PyTree]]  # (params, carry, batch, key) -> (mean over the batch, carry)
    evaluate: Callable[[PyTree], Any]  # params -> the held-out loss; of several seeds, one each
    name: str  # of the loss in metrics.jsonl
    unit: str  # of the loss on the screen
    speed: str  # the name of items a second in metrics.jsonl
    speed_unit: str  # and on the screen
    items: int  # in a batch


class State(NamedTuple):
    """All that a step depends on beside the seed. With several seeds, axis 0 of every array is theirs."""

    step: Any  # steps taken
    params: Any
    optimizer: Any
    carry: Any


SPECS = State(P(), P(), P(), P(AXIS))


def fit(task: str, problem: Problem, config: Trained, directory: Path, console: Console) -> PyTree:
    """All steps; returns the final params.

    Raises FloatingPointError when a loss is not finite, before that step is saved, and Stopped after it was asked to
    stop, by a signal to any of the processes, and has saved the step.
    """
    mesh, optimizer, seeds = make_mesh(config), make_optimizer(config), seeds_of(config)
    state = start(problem, optimizer, mesh, seeds)
    update = make_update(problem, optimizer, mesh, seeds)
    began = time.perf_counter()
    with (
        stop_requests() as asked,
        metrics_file(directory) as write,
        checkpoints(directory) as manager,
        progress(console, task, config.steps) as show,
    ):
        for step in range(1, config.steps + 1):
            started = time.perf_counter()
            state, loss, stop = update(state, *inputs(problem, mesh, seeds, step, bool(asked())))
            loss, stop = np.asarray(loss), np.any(stop)
            for k in np.flatnonzero(~np.isfinite(loss)):
                whose = "the loss" if isinstance(seeds, int) else f"the loss of seed {seeds[k]}"
                raise FloatingPointError(f"{task}: {whose} is {loss.flat[k]} at step {step}; lower --rate or --clip")
            now = time.perf_counter()
            speed, seconds = problem.items * loss.size / (now - started), round(now - began, 3)
            values = described(problem.name, loss) | {problem.speed: round(speed), "seconds": seconds}
            if step % config.evaluate_every == 0:
                values |= described(f"held_out_{problem.name}", problem.evaluate(on_host(mesh, state.params)))
            write(step=step, **values)
            show(step, f"{loss.mean():.3f} {problem.unit}  {speed:,.0f} {problem.speed_unit}")
            if stop or step % config.checkpoint_every == 0 or step == config.steps:
                save(manager, step, **on_host(mesh, state)._asdict())
            if stop:
                words = f"{task}: stopped at step {step}, which is saved in {directory}"
                raise Stopped(asked() or signal.SIGTERM, words)
    return on_host(mesh, state.params)


def start(problem: Problem, optimizer: optax.GradientTransformation, mesh: Mesh, seeds: Seeds) -> State:
    """The state before the first step."""

    def begin(seed: int) -> State:
        params, carry = problem.init(jax.random.split(jax.random.key(seed), 3)[0])
        return State(jnp.int32(0), params, optimizer.init(params), carry)

    return place(mesh, each(seeds, begin), for_each(seeds, SPECS))


def inputs(problem: Problem, mesh: Mesh, seeds: Seeds, step: int, stop: bool) -> tuple[Array, PyTree, Array]:
    """What enters step number `step` beside the state: seeds, batch, and whether each device's process should stop."""
    batch = each(seeds, lambda seed: problem.batch(seed, step - 1))
    arrays = np.asarray(seeds, np.uint32), batch, np.full(mesh.size, stop)
    return place(mesh, arrays, (P(), for_each(seeds, problem.specs), P(AXIS)))


def make_update(problem: Problem, optimizer: optax.GradientTransformation, mesh: Mesh, seeds: Seeds):
    """update(state, seed, batch, stop) -> (state, loss, whether any process should stop), compiled for the mesh.

    The parameters are told apart on each device before they are differentiated: left to the partitioner, the mean of
    the weights' gradient is taken at every step of the loop over time.
    """

    def update(state: State, seed: Array, batch: PyTree, stop: Array) -> tuple[State, Array, Array]:
        key = jax.random.fold_in(jax.random.split(jax.random.key(seed), 3)[1], state.step + 1)
        if mesh.size > 1:
            key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))  # noise of its own for each part of the batch
        params = vary(state.params, frozenset({AXIS}))
        (loss, carry), grads = jax.value_and_grad(problem.loss, has_aux=True)(params, state.carry, batch, key)
        grads, loss, stops = mean_of_devices((grads, loss, stop.mean(dtype=loss.dtype)))
        updates, inner = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(state.step + 1, params, inner, carry), loss, stops > 0

    specs = for_each(seeds, SPECS)
    mapped = update if isinstance(seeds, int) else jax.vmap(update, (0, 0, 0, None))
    given = specs, P(), for_each(seeds, problem.specs), P(AXIS)
    return jax.jit(jax.shard_map(mapped, mesh=mesh, in_specs=given, out_specs=(specs, P(), P())), donate_argnums=0)


def mean_of_devices(tree: PyTree) -> PyTree:
    """The mean over the mesh, all leaves in one all-reduce. One device sends nothing, and needs no copy to send."""
    if jax.lax.axis_size(AXIS) == 1:
        return jax.lax.pmean(tree, AXIS)
    flat, unravel = ravel_pytree(tree)
    return unravel(jax.lax.pmean(flat, AXIS))


def make_optimizer(config: Trained) -> optax.GradientTransformation:
    """Clipping, then Adam or gradient descent with a warm-up and a cosine down to nothing."""
    rise = min(50, config.steps // 10)
    rate = optax.warmup_cosine_decay_schedule(config.rate / (rise + 1), config.rate, rise, config.steps)
    rule = optax.adam(rate) if config.optimizer == "adam" else optax.sgd(rate)
    return optax.chain(optax.clip_by_global_norm(config.clip), rule)
