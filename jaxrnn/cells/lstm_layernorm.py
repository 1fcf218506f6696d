"""LSTM with layer normalisation: Ba et al. 2016, "Layer normalization", supplementary material.

    i, f, g, o = N(x W_x) * gain_x + N(h W_h) * gain_h + b
    c' = s(f) * c + s(i) * tanh(g)          h' = s(o) * tanh(N(c') * gain_c + b_c)          y = h'
    N(a) = (a - mean(a)) / sqrt(variance(a) + eps)

The mean and variance are taken over all 4n sums together, for x and for h apart, as in the paper; blocks stand in the
order i, f, g, o. The biases of the paper's first two norms and its b are only ever added; here they are one. c itself
is carried on as it is. The norm of x needs no past, so `project` does it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.gated import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec


class Params(NamedTuple):
    w_x: Float[Array, "n_in 4n"]
    w_h: Float[Array, "n 4n"]
    b: Float[Array, "4n"]
    gain_x: Float[Array, "4n"]
    gain_h: Float[Array, "4n"]
    gain_c: Float[Array, "n"]
    b_c: Float[Array, "n"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]
    c: Float[Array, "*batch n"]


def normalize(a: Float[Array, "*batch n"], eps: float) -> Float[Array, "*batch n"]:
    """N(a) along the last axis; the variance is the mean square, as in PyTorch and Flax."""
    centred = a - a.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + eps)


def lstm_layernorm(
    n_in: int, n: int, forget_bias: float = 1.0, eps: float = 1e-5, *, policy: Policy = Policy()
) -> Cell:
    """The layer-normalised LSTM cell: x [*batch, n_in] -> y = h [*batch, n].

    Raises ValueError on sizes below 1 or an eps that is not positive.
    """
    checks.size("lstm_layernorm", n_in=n_in, n=n)
    checks.policy("lstm_layernorm", policy)
    checks.number("lstm_layernorm", forget_bias=forget_bias)
    checks.positive("lstm_layernorm", eps=eps)  # where a state is all zeros eps alone keeps the norm finite
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h = jax.random.split(key)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, 4 * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 4, dtype),
            b=initializers.gate_bias(n, (0.0, forget_bias, 0.0, 0.0), dtype),
            gain_x=jnp.ones(4 * n, dtype),
            gain_h=jnp.ones(4 * n, dtype),
            gain_c=jnp.ones(n, dtype),
            b_c=jnp.zeros(n, dtype),
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        dtype = policy.carry_dtype(params)  # two arrays, not one twice: each may be donated
        return Carry(h=jnp.zeros((*batch_shape, n), dtype), c=jnp.zeros((*batch_shape, n), dtype))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("lstm_layernorm", xs, params.w_x.shape[0])
        us = normalize(policy.dot(xs, params.w_x), eps)
        return us * params.gain_x.astype(us.dtype) + params.b.astype(us.dtype)

    def gates(small: Any, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        i, f, g, o = jnp.split(u + normalize(v, eps) * small.gain_h, 4, axis=-1)
        i, f, g, o = named("ifgo", [jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)])
        c = f * carry.c + i * g
        h = o * jnp.tanh(normalize(c, eps) * small.gain_c + small.b_c)
        return Carry(h, c), h

    # The norms look across units: not a Gated cell, though written the same way.
    step = derive_step(Gated(lambda params: params.w_h, gates), policy)
    made_by = spec("lstm_layernorm", n_in=n_in, n=n, forget_bias=forget_bias, eps=eps, policy=policy)
    return Cell(init, carry, project, step, None, made_by)
