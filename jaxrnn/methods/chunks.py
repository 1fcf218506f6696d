"""Time cut into chunks, a loop around the loop.

So memory is bounded: the backward pass keeps the carry between chunks and computes the rest again. Chen et al. 2016,
"Training deep nets with sublinear memory cost": with chunks of sqrt(T) steps, memory for sqrt(T) steps is enough, at
the price of one more forward pass.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxrnn.types import Carry, Keys, Params

Run = Callable[[Params, Carry, PyTree[Array], Keys | None], tuple[Carry, PyTree[Array]]]


def checkpointed(
    run: Run, params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None, checkpoint: int | str | None
) -> tuple[Carry, PyTree[Array]]:
    """`run` on the whole of xs, or chunk by chunk when `checkpoint` is a number of steps or "sqrt"."""
    if checkpoint is None:
        return run(params, carry, xs, keys)
    T = jax.tree.leaves(xs)[0].shape[0]
    if jax.export.is_symbolic_dim(T):
        raise ValueError("checkpoint: T is symbolic, wanted a number to cut into chunks; leave checkpoint=None")
    K = even_steps(T, math.isqrt(T)) if checkpoint == "sqrt" else int(checkpoint)
    remembered = jax.checkpoint(run)  # pyright: ignore[reportPrivateImportUsage]
    return in_chunks(remembered, params, carry, xs, keys, K)


def in_chunks(
    run: Run, params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None, K: int
) -> tuple[Carry, PyTree[Array]]:
    """`run` on K steps at a time, and on what remains."""
    T = jax.tree.leaves(xs)[0].shape[0]
    if K >= T:
        return run(params, carry, xs, keys)
    whole, rest = _cut(xs, keys, T, K)
    carry, ys = jax.lax.scan(lambda carry, piece: run(params, carry, *piece), carry, whole)
    ys = jax.tree.map(lambda a: a.reshape(T // K * K, *a.shape[2:]), ys)
    if T % K == 0:
        return carry, ys
    carry, tail = run(params, carry, *rest)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, tail)


def even_steps(T: int, wanted: int) -> int:
    """A number of steps near `wanted`, at most twice and at least half of it; a divisor of T where there is one,
    since a remainder costs a copy of the sequence and a second compilation of the loop.
    """
    near = range(max(1, -(-wanted // 2)), min(2 * wanted, T) + 1)
    divisors = [K for K in near if T % K == 0]
    return min(divisors, key=lambda K: abs(K - wanted), default=max(1, min(wanted, T)))


def _cut(xs: PyTree[Array], keys: Keys | None, T: int, K: int) -> tuple[PyTree[Array], PyTree[Array]]:
    """(whole chunks [T // K, K, ...], the remaining steps); the sequence key goes with every chunk."""
    N = T // K

    def chunks(a: Array) -> Array:
        return a[: N * K].reshape(N, K, *a.shape[1:])

    whole = jax.tree.map(chunks, xs), keys and Keys(jnp.broadcast_to(keys.sequence, (N,)), chunks(keys.steps))
    rest = jax.tree.map(lambda a: a[N * K :], xs), keys and keys._replace(steps=keys.steps[N * K :])
    return whole, rest
