"""What the machine can do: the rate of matrix products in float32, and the bandwidth of its memory."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrnn.bench.case import Case

RUNS = 7
SIDE = 2048
NUMBERS = 32 * 2**20  # 128 MB: larger than any cache


def peak() -> dict[str, float]:
    """`peak_flops`, of a square product, and `bandwidth`, in bytes a second, of a sum of two large arrays."""
    a = jax.random.normal(jax.random.key(0), (SIDE, SIDE), jnp.float32)
    return {"peak_flops": 2 * SIDE**3 / _seconds(lambda: _product(a, a)), "bandwidth": 3 * 4 * NUMBERS / _sum_seconds()}


def _sum_seconds() -> float:
    add = jax.jit(jnp.add, donate_argnums=0)  # into memory that is mapped already
    total, x = jnp.ones(NUMBERS, jnp.float32), jnp.ones(NUMBERS, jnp.float32)

    def once() -> jax.Array:
        nonlocal total
        total = add(total, x)
        return total

    return _seconds(once)


def product_flops(case: Case) -> float:
    """The rate of one product as large as a case's: [T B, I + H] by [I + H, 4 H], an LSTM's for all steps at once."""
    a = jax.random.normal(jax.random.key(0), (case.T * case.B, case.I + case.H), jnp.float32)
    w = jax.random.normal(jax.random.key(1), (case.I + case.H, 4 * case.H), jnp.float32)
    return 2 * a.size * w.shape[1] / _seconds(lambda: _product(a, w))


_product = jax.jit(jnp.matmul)


def _seconds(f: Callable[[], jax.Array]) -> float:
    """The fastest run of a second, of RUNS at least: what the machine can do when nothing is in its way."""

    def once() -> float:
        began = time.perf_counter()
        jax.block_until_ready(f())
        return time.perf_counter() - began

    runs, began = [], time.perf_counter()
    while len(runs) < RUNS or time.perf_counter() - began < 1:
        runs.append(once())
    return min(runs)
