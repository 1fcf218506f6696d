"""The devices that share a batch, and arrays on their way to and from them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxrnn.runner.config import Trained

AXIS = "data"


def make_mesh(config: Trained) -> Mesh:
    """The first `devices` of every process, in the order of processes.

    Raises ValueError where this process has fewer, and where they cannot share the batch evenly.
    """
    here = jax.local_device_count()
    each = here if config.devices == "all" else config.devices
    if each > here:
        kind = jax.devices()[0].platform
        advice = "; JAX_NUM_CPU_DEVICES makes more" if kind == "cpu" else ""
        raise ValueError(f"devices: got {each}, this process has {here} of kind {kind}{advice}")
    total = each * jax.process_count()
    if config.batch % total:
        raise ValueError(f"batch: {config.batch} cannot be shared by {total} devices, wanted a multiple of {total}")
    devices = [d for process in range(jax.process_count()) for d in jax.local_devices(process)[:each]]
    return Mesh(np.array(devices), (AXIS,))


def place(mesh: Mesh, tree: PyTree, specs: PyTree[P]) -> PyTree:
    """Arrays that every process has whole, as arrays of the mesh; `specs` may stop at a subtree's root."""

    def one(spec: P) -> Callable[[Any], jax.Array]:
        def put(leaf: Any) -> jax.Array:
            array = np.asarray(leaf)
            return jax.make_array_from_callback(array.shape, NamedSharding(mesh, spec), lambda index: array[index])

        return put

    return jax.tree.map(lambda spec, part: jax.tree.map(one(spec), part), specs, tree)


def on_host(mesh: Mesh, tree: PyTree) -> PyTree:
    """Every process's own copy of the whole, which later steps cannot overwrite. All processes must ask together."""
    return jax.tree.map(lambda leaf: np.array(leaf.addressable_data(0)), gather(mesh)(tree))


@functools.cache
def gather(mesh: Mesh) -> Callable[[PyTree], PyTree]:
    """Arrays of the mesh, whole on each of its devices; compiled once."""
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, P()))
