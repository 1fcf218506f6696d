"""One seed, or several together: a run of several has them on axis 0 of every array."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

Seeds = int | tuple[int, ...]


def each(seeds: Seeds, make: Callable[[int], PyTree]) -> PyTree:
    """What `make` gives for the seed; for several, the arrays of each stacked."""
    if isinstance(seeds, int):
        return make(seeds)
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *map(make, seeds))


def for_each(seeds: Seeds, specs: PyTree[P]) -> PyTree[P]:
    """The specs of one seed's arrays, as those of `seeds`."""
    return specs if isinstance(seeds, int) else jax.tree.map(lambda spec: P(None, *spec), specs)


def member(tree: PyTree, k: int) -> PyTree:
    """Seed number k's own arrays."""
    return jax.tree.map(lambda leaf: leaf[k], tree)


def described(name: str, values: Any) -> dict[str, Any]:
    """A number by its name; of several seeds, their mean, standard deviation (n - 1) and the numbers themselves."""
    values = np.asarray(values, np.float64)
    if values.ndim == 0:
        return {name: float(values)}
    spread = {f"{name}_std": float(values.std(ddof=1)), f"{name}_by_seed": values.tolist()}
    return {name: float(values.mean())} | spread
