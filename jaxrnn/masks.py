"""Which steps are real, and which of two values holds where."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped

from jaxrnn import checks


def length_mask(lengths: Int[Array, "*batch"], T: int) -> Bool[Array, "T *batch"]:
    """True at the first `lengths` of T steps, for sequences padded at the end; length 0 is legal.

    Raises ValueError when lengths are not whole numbers or T is negative.
    """
    if not checks.is_size(T):
        raise ValueError(f"length_mask: T is {checks.short(T)}, wanted a whole number of at least 0")
    if not hasattr(lengths, "dtype"):
        try:
            lengths = jnp.asarray(lengths if isinstance(lengths, (int, list, tuple)) else None)
        except (TypeError, ValueError):
            raise ValueError(
                f"length_mask: lengths is {checks.short(lengths)}, wanted whole numbers [*batch]"
            ) from None
    checks.whole("length_mask", "lengths", lengths, "[*batch]")
    lengths = jnp.asarray(lengths)
    times = jnp.arange(T).reshape(T, *(1,) * lengths.ndim)
    return times < lengths.astype(times.dtype)


def choose(where: Bool[Array, "*batch"], a: Array, b: Array) -> Array:
    """a where true, b elsewhere; `where` is stretched over the features that follow the batch."""
    return jnp.where(where.reshape(*where.shape, *(1,) * (jnp.ndim(a) - where.ndim)), a, b)


def zeroed(xs: Shaped[Array, "..."], mask: Bool[Array, "..."] | None) -> Shaped[Array, "..."]:
    """xs with zeros where the mask is false, so that what stands in padding reaches neither values nor gradients."""
    return xs if mask is None else choose(mask, xs, jnp.zeros((), xs.dtype))


def flip(tree: Any) -> Any:
    """Every array of the tree with time read from the end."""
    return jax.tree.map(lambda a: jnp.flip(a, 0), tree)


def reset_backwards(reset: Bool[Array, "T *batch"] | None) -> Bool[Array, "T *batch"] | None:
    """The same boundaries for a reader from the end: one between t-1 and t lies, read backwards, after t."""
    if reset is None:
        return None
    return flip(jnp.concatenate([reset[1:], jnp.zeros_like(reset[:1])]))
