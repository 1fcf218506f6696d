"""A layer as a map from state to state, x given: what Jacobians and Lyapunov exponents are taken of."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from jaxrnn import checks
from jaxrnn.policy import promote
from jaxrnn.types import Carry, Layer, Params

Map = Callable[[Float[Array, "m"], Any], Float[Array, "m"]]


def as_map(
    owner: str,
    layer: Layer,
    params: Params,
    carry: Carry,
    xs: Array,
    mask: Bool[Array, "T"] | None,
    reset: Bool[Array, "T"] | None,
) -> tuple[Map, Float[Array, "m"], Any]:
    """(map(state, moment) -> state, the first state, the moments), for one sequence.

    The state is all of the carry's numbers in one vector, in float32 at least, so that a narrower carry is followed
    unrounded. Raises ValueError on a layer that reads from the end, on a batch, and on a carry of more than one dtype.
    """
    checks.forward(owner, "layer", layer)
    checks.array(owner, "x", xs, 1, "[T, ...]")
    leaves = jax.tree.leaves(carry)
    if not leaves:
        raise ValueError(f"{owner}: the layer has no state, wanted a recurrent one")
    if any(leaf.ndim != 1 for leaf in leaves):
        shapes = checks.short(carry)
        raise ValueError(
            f"{owner}: carry is {shapes}, wanted that of one sequence, layer.carry((), params); vmap for more"
        )
    if len({leaf.dtype for leaf in leaves}) > 1:
        raise ValueError(f"{owner}: carry is {checks.short(carry)}, wanted one dtype in all of it")
    start, unravel = ravel_pytree(jax.tree.map(widened, carry))

    def step(state: Float[Array, "m"], moment: Any) -> Float[Array, "m"]:
        x, real, fresh = jax.tree.map(lambda a: a[None], moment)
        after, _ = layer.apply(params, unravel(state), x, mask=real, reset=fresh)
        return jnp.concatenate(jax.tree.leaves(after)).astype(state.dtype)

    return step, start, (xs, mask, reset)


def flattened(carries: Carry, axes: int = 1) -> Float[Array, "*axes n"]:
    """Each carry as one vector of its n numbers, leaf after leaf: what Jacobians, eigenvectors and `pca` are of.

    axes   how many axes count the carries: 1 for those of `fixed_points`, 2 for a `trajectory` [T, B, ...]
    """
    checks.size("flattened", at_least=0, axes=axes)
    flat = lambda carry: ravel_pytree(carry)[0]  # noqa: E731
    for _ in range(axes):
        flat = jax.vmap(flat)
    return flat(carries)


def widened(a: Array) -> Array:
    """What is narrower than float32 as float32: matrices are not decomposed in less."""
    wide = promote(a.dtype, jnp.float32) if jnp.issubdtype(a.dtype, jnp.floating) else a.dtype
    return jnp.asarray(a).astype(wide)
