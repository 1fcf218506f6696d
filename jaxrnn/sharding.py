"""Under shard_map: over which mesh axes an array varies. A loop wants its carry to vary as what it meets does."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


def axes_of(*trees: PyTree[Array]) -> frozenset[str]:
    """Every mesh axis that a leaf varies over; none outside shard_map."""
    leaves = jax.tree.leaves(trees)
    return frozenset[str]().union(*(jax.typeof(leaf).manual_axis_type.varying for leaf in leaves))


def vary(tree: PyTree[Array], axes: frozenset[str]) -> PyTree[Array]:
    """The same, every leaf varying over these axes at least."""

    def one(leaf: Array) -> Array:
        missing = tuple(sorted(axes - axes_of(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(one, tree)


def shaped(aval: Any, shape: tuple[int, ...]) -> Any:
    """The type of an array of another shape, which varies as this one does."""
    return aval.update(shape=shape)


def zeros(aval: Any) -> Array:
    """Zeros of this type."""
    return vary(jnp.zeros(aval.shape, aval.dtype), aval.manual_axis_type.varying)
