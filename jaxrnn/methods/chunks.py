"""Time cut into chunks, so that the backward pass keeps the carry between them and computes the rest again.

Chen et al. 2016, "Training deep nets with sublinear memory cost": with chunks of sqrt(T) steps, memory for sqrt(T)
steps is enough, at the price of one more forward pass.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxrnn.types import Carry, Keys, Params

Run = Callable[[Params, Carry, PyTree[Array], Keys | None], tuple[Carry, PyTree[Array]]]


def in_chunks(
    run: Run, params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None, checkpoint: int | str | None
) -> tuple[Carry, PyTree[Array]]:
    """`run` on the whole of xs, or chunk by chunk when `checkpoint` is a number of steps or "sqrt"."""
    if checkpoint is None:
        return run(params, carry, xs, keys)
    T = jax.tree.leaves(xs)[0].shape[0]
    if jax.export.is_symbolic_dim(T):
        raise ValueError("checkpoint: T is symbolic, wanted a number to cut into chunks; leave checkpoint=None")
    K = max(1, math.isqrt(T)) if checkpoint == "sqrt" else min(int(checkpoint), max(1, T))
    remembered = jax.checkpoint(run)  # pyright: ignore[reportPrivateImportUsage]
    whole, rest = _cut(xs, keys, T, K)
    carry, ys = jax.lax.scan(lambda carry, piece: remembered(params, carry, *piece), carry, whole)
    ys = jax.tree.map(lambda a: a.reshape(T // K * K, *a.shape[2:]), ys)
    if T % K == 0:
        return carry, ys
    carry, tail = remembered(params, carry, *rest)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, tail)


def _cut(xs: PyTree[Array], keys: Keys | None, T: int, K: int) -> tuple[PyTree[Array], PyTree[Array]]:
    """(whole chunks [T // K, K, ...], the remaining steps); the sequence key goes with every chunk."""
    N = T // K

    def chunks(a: Array) -> Array:
        return a[: N * K].reshape(N, K, *a.shape[1:])

    whole = jax.tree.map(chunks, xs), keys and Keys(jnp.broadcast_to(keys.sequence, (N,)), chunks(keys.steps))
    rest = jax.tree.map(lambda a: a[N * K :], xs), keys and keys._replace(steps=keys.steps[N * K :])
    return whole, rest
