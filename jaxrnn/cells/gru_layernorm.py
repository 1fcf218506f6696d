"""GRU with layer normalisation: Ba et al. 2016, "Layer normalization", supplementary material.

    r, z = s(N(x W_x) * gain_x + N(h W_h) * gain_h + b)
    n = tanh(N(x W_xn) * gain_xn + b + r * (N(h W_hn) * gain_hn + b_n))
    h' = (1 - z) * h + z * n          y = h'          N as in lstm_layernorm

Blocks stand in the order r, z, n. The mean and variance are taken over the 2n sums of r and z together and over the n
of n apart, for x and for h, as in the paper. Its z is the other way round than gru's: near 1 it renews. The reset
stands after the product. Biases that are only ever added are one; b_n [n] is multiplied by r and stays apart.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.cells.lstm_layernorm import normalize
from jaxrnn.gated import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec


class Params(NamedTuple):
    w_x: Float[Array, "n_in 3n"]
    w_h: Float[Array, "n 3n"]
    b: Float[Array, "3n"]
    b_n: Float[Array, "n"]
    gain_x: Float[Array, "3n"]
    gain_h: Float[Array, "3n"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]


def gru_layernorm(n_in: int, n: int, eps: float = 1e-5, *, policy: Policy = Policy()) -> Cell:
    """The layer-normalised GRU cell: x [*batch, n_in] -> y = h [*batch, n].

    Raises ValueError on sizes below 1 or an eps that is not positive.
    """
    checks.size("gru_layernorm", n_in=n_in, n=n)
    checks.policy("gru_layernorm", policy)
    checks.positive("gru_layernorm", eps=eps)  # where a state is all zeros eps alone keeps the norm finite
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h = jax.random.split(key)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, 3 * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 3, dtype),
            b=jnp.zeros(3 * n, dtype),
            b_n=jnp.zeros(n, dtype),
            gain_x=jnp.ones(3 * n, dtype),
            gain_h=jnp.ones(3 * n, dtype),
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        return Carry(jnp.zeros((*batch_shape, n), policy.carry_dtype(params)))

    def normalize_blocks(a: Array) -> Array:
        return jnp.concatenate([normalize(a[..., : 2 * n], eps), normalize(a[..., 2 * n :], eps)], axis=-1)

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("gru_layernorm", xs, params.w_x.shape[0])
        us = normalize_blocks(policy.dot(xs, params.w_x))
        return us * params.gain_x.astype(us.dtype) + params.b.astype(us.dtype)

    def gates(small: Any, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        v = normalize_blocks(v) * small.gain_h
        r, z = named("rz", jnp.split(jax.nn.sigmoid(u[..., : 2 * n] + v[..., : 2 * n]), 2, axis=-1))
        (new,) = named("n", [jnp.tanh(u[..., 2 * n :] + r * (v[..., 2 * n :] + small.b_n))])
        h = (1 - z) * carry.h + z * new
        return Carry(h), h

    # The norms look across units: not a Gated cell, though written the same way.
    step = derive_step(Gated(lambda params: params.w_h, gates), policy)
    made_by = spec("gru_layernorm", n_in=n_in, n=n, eps=eps, policy=policy)
    return Cell(init, carry, project, step, None, made_by)
