"""How weights begin."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn.policy import promote


def uniform(
    key: PRNGKeyArray, shape: tuple[int, ...], width: int, dtype: DTypeLike = jnp.float32
) -> Float[Array, "..."]:
    """U(-1/sqrt(width), 1/sqrt(width)), `width` being the number of terms each sum has."""
    limit = width**-0.5
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def orthogonal(key: PRNGKeyArray, n: int, blocks: int, dtype: DTypeLike = jnp.float32) -> Float[Array, "n blocks*n"]:
    """One orthogonal [n, n] matrix per gate block, side by side (Saxe et al. 2014).

    Each gate gets its own: orthogonal jointly over [n, blocks * n] would leave no single block orthogonal.
    The QR decomposition has no half precision, so the matrices are made in float32 and then rounded.
    """
    exact = promote(dtype, jnp.float32)
    matrices = jax.random.orthogonal(key, n, (blocks,), exact)
    return jnp.concatenate(tuple(matrices), axis=1).astype(dtype)


def gate_bias(n: int, values: tuple[float, ...], dtype: DTypeLike = jnp.float32) -> Float[Array, "blocks*n"]:
    """A bias with one constant per gate block, such as (0, 1, 0, 0) for an LSTM's forget gate."""
    return jnp.repeat(jnp.asarray(values, dtype), n)
