"""One step of training, for every task: what enters it, the update, and what kept it from being taken.

Batches and noise are functions of (seed, step), and `State` is all else that a step depends on. The batch is shared
out over a mesh of devices, each of which computes the gradient of its part; one all-reduce a step takes their mean.
Several seeds are one more axis, at the front of everything, and the same step under vmap.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PyTree

from jaxrnn.runner.devices import AXIS, place
from jaxrnn.runner.draws import noise
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.seeds import Seeds, each, for_each
from jaxrnn.sharding import vary


class State(NamedTuple):
    """All that a step depends on beside the seed. With several seeds, axis 0 of every array is theirs."""

    step: Any  # steps taken
    params: Any
    optimizer: Any
    carry: Any


SPECS = State(P(), P(), P(), P(AXIS))


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
