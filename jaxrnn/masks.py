"""Which steps are real, and which of two values holds where."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Int, Shaped

from jaxrnn import checks


def length_mask(lengths: Int[Array, "*batch"], T: int) -> Bool[Array, "T *batch"]:
    """True at the first `lengths` of T steps, for sequences padded at the end; length 0 is legal.

    Raises ValueError when lengths are not whole numbers or T is negative, and on lengths that are not 0 to T: not under
    jit, nor of an array on an accelerator, for which it does not wait.
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
    return first_steps("length_mask", "lengths", lengths, T)


def first_steps(
    owner: str, name: str, lengths: Int[Array, "*batch"], T: int, axis: str = "T"
) -> Bool[Array, "T *batch"]:
    """length_mask of the lengths that `owner` was given by this name, along an axis of its own."""
    checks.whole(owner, name, lengths, "[*batch]")
    if (wrong := _misfit(lengths, T)) is not None:
        raise ValueError(f"{owner}: {name} has {wrong}, wanted 0 to {axis} = {T}")
    lengths = jnp.asarray(lengths)
    times = jnp.arange(T).reshape(T, *(1,) * lengths.ndim)
    return times < lengths.astype(times.dtype)


def _misfit(lengths: Any, T: int) -> int | None:
    """A length below 0 or above T, where both are numbers at hand."""
    if isinstance(lengths, Tracer) or jax.export.is_symbolic_dim(T):
        return None
    if isinstance(lengths, jax.Array):
        on_cpu = all(device.platform == "cpu" for device in lengths.devices())
        if not (on_cpu and lengths.is_fully_addressable):
            return None
    given = np.asarray(lengths).astype(np.int64)
    return next(iter(given[(given < 0) | (given > T)]), None)


def choose(where: Bool[Array, "*batch"], a: Array, b: Array) -> Array:
    """a where true, b elsewhere; `where` is stretched over the features that follow the batch."""
    return jnp.where(where.reshape(*where.shape, *(1,) * (jnp.ndim(a) - where.ndim)), a, b)


def zeroed(xs: Shaped[Array, "..."], mask: Bool[Array, "..."] | None) -> Shaped[Array, "..."]:
    """xs with zeros where the mask is false, so that what stands in padding reaches neither values nor gradients."""
    return xs if mask is None else choose(mask, xs, jnp.zeros((), xs.dtype))


def flip(tree: Any) -> Any:
    """Every array of the tree with time read from the end."""
    return jax.tree.map(lambda a: jnp.flip(a, 0), tree)


def reset_backwards(
    reset: Bool[Array, "T *batch"] | None, mask: Bool[Array, "T *batch"] | None
) -> Bool[Array, "T *batch"] | None:
    """The same boundaries for a reader from the end: one between t-1 and t lies, read backwards, after t.

    A boundary at a real step is met at the next real step that is read, past any padding between the two.
    """
    if reset is None:
        return None
    passed = flip(reset)
    if mask is not None:
        real, steps = flip(mask), jnp.arange(reset.shape[0]).reshape(-1, *(1,) * (reset.ndim - 1))
        newest = jax.lax.cummax(jnp.where(real, steps, -1), axis=0)
        passed = jnp.take_along_axis(passed, jnp.maximum(newest, 0), axis=0) & (newest >= 0)
    return jnp.concatenate([jnp.zeros_like(passed[:1]), passed[:-1]])
