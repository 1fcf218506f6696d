"""Project, then lax.scan: the plain reference, which serves every cell and every transformation.

With `checkpoint=K` the sequence is cut into chunks of K steps and only the carry between chunks is kept for the
backward pass; inside a chunk everything, the projection included, is computed again (Chen et al. 2016).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxrnn.types import Carry, Cell, Keys, Params


def scan(
    cell: Cell, params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None, checkpoint: int | str | None
) -> tuple[Carry, PyTree[Array]]:
    """Run `cell` along axis 0 of `xs`; `checkpoint` is None, a number of steps, or "sqrt"."""

    def run(params: Params, carry: Carry, piece: tuple[PyTree[Array], Keys | None]) -> tuple[Carry, PyTree[Array]]:
        us = cell.project(params, *piece)
        return jax.lax.scan(lambda carry, u: cell.step(params, carry, u), carry, us)

    if checkpoint is None:
        return run(params, carry, (xs, keys))

    T = jax.tree.leaves(xs)[0].shape[0]
    if jax.export.is_symbolic_dim(T):
        raise ValueError("checkpoint: T is symbolic, wanted a number to cut into chunks; leave checkpoint=None")
    K = max(1, math.isqrt(T)) if checkpoint == "sqrt" else min(int(checkpoint), max(1, T))
    remembered = jax.checkpoint(run)  # pyright: ignore[reportPrivateImportUsage]
    whole, rest = _cut(xs, keys, T, K)
    carry, ys = jax.lax.scan(lambda carry, piece: remembered(params, carry, piece), carry, whole)
    ys = jax.tree.map(lambda a: a.reshape(T // K * K, *a.shape[2:]), ys)
    if T % K == 0:
        return carry, ys
    carry, tail = remembered(params, carry, rest)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, tail)


def _cut(xs: PyTree[Array], keys: Keys | None, T: int, K: int) -> tuple[PyTree[Array], PyTree[Array]]:
    """(whole chunks [T // K, K, ...], the remaining steps); the sequence key goes with every chunk."""
    N = T // K

    def chunks(a: Array) -> Array:
        return a[: N * K].reshape(N, K, *a.shape[1:])

    whole = jax.tree.map(chunks, xs), keys and Keys(jnp.broadcast_to(keys.sequence, (N,)), chunks(keys.steps))
    rest = jax.tree.map(lambda a: a[N * K :], xs), keys and keys._replace(steps=keys.steps[N * K :])
    return whole, rest
