"""LSTM with a recurrent projection: Sak et al. 2014, "Long short-term memory recurrent neural network architectures
for large scale acoustic modeling".

    i = s(x W_xi + h W_hi + c  P_i + b_i)          f = s(x W_xf + h W_hf + c P_f + b_f)
    g = tanh(x W_xg + h W_hg + b_g)                c' = f * c + i * g
    o = s(x W_xo + h W_ho + c' P_o + b_o)          h' = (o * tanh(c')) W_hr            y = h'

h [n_proj] is narrower than c [n], and y is as narrow. Blocks stand in the order i, f, g, o. The paper's peepholes P,
diagonal ([n], multiplied elementwise), are off unless asked for: without them this is PyTorch's
nn.LSTM(proj_size=n_proj), with w_hr the transpose of its weight_hr.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.cells.lstm import Peepholes
from jaxrnn.gated import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec

PEEPHOLES = (None, "diagonal")


class Params(NamedTuple):
    w_x: Float[Array, "n_in 4n"]
    w_h: Float[Array, "n_proj 4n"]
    b: Float[Array, "4n"]
    w_hr: Float[Array, "n n_proj"]
    peepholes: Peepholes | None


class Carry(NamedTuple):
    h: Float[Array, "*batch n_proj"]
    c: Float[Array, "*batch n"]


def projected_size(owner: str, n: int, n_proj: int | None) -> int:
    """n_proj, or half of n where none is given; wider than n would be no projection."""
    if n_proj is None:
        return max(1, n // 2)
    checks.size(owner, n_proj=n_proj)
    if n_proj > n:
        raise ValueError(f"{owner}: n_proj is {n_proj}, wanted at most n, which is {n}")
    return n_proj


def lstm_projected(
    n_in: int,
    n: int,
    n_proj: int | None = None,
    peepholes: Literal["diagonal"] | None = None,
    forget_bias: float = 1.0,
    *,
    policy: Policy = Policy(),
) -> Cell:
    """The projected LSTM cell: x [*batch, n_in] -> y = h [*batch, n_proj], with n cells behind it.

    `n_proj` is half of n unless given. Raises ValueError on sizes below 1, n_proj above n or unknown peepholes.
    """
    checks.size("lstm_projected", n_in=n_in, n=n)
    checks.policy("lstm_projected", policy)
    checks.number("lstm_projected", forget_bias=forget_bias)
    checks.choice("lstm_projected", "peepholes", peepholes, PEEPHOLES)
    narrow = projected_size("lstm_projected", n, n_proj)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h, key_r, *key_p = jax.random.split(key, 6)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, 4 * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 4, dtype)[:narrow],  # its rows are orthonormal in each block
            b=initializers.gate_bias(n, (0.0, forget_bias, 0.0, 0.0), dtype),
            w_hr=initializers.uniform(key_r, (n, narrow), n, dtype),
            peepholes=Peepholes(*(initializers.uniform(k, (n,), n, dtype) for k in key_p)) if peepholes else None,
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        kept = policy.carry_dtype(params)
        return Carry(h=jnp.zeros((*batch_shape, narrow), kept), c=jnp.zeros((*batch_shape, n), kept))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("lstm_projected", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def gate(a: Array, c: Array, peephole: Array | None) -> Array:
        return jax.nn.sigmoid(a if peephole is None else a + c * peephole)

    def gates(params: Params, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        i, f, g, o = jnp.split(u + v, 4, axis=-1)
        p = params.peepholes or Peepholes(None, None, None)
        i, f, g = named("ifg", [gate(i, carry.c, p.i), gate(f, carry.c, p.f), jnp.tanh(g)])
        c = f * carry.c + i * g
        (o,) = named("o", [gate(o, c, p.o)])
        h = policy.dot(o * jnp.tanh(c), params.w_hr).astype(u.dtype)
        return Carry(h, c), h

    # A second product, after the gates: not a Gated cell, though written the same way.
    step = derive_step(Gated(lambda params: params.w_h, gates), policy, small=lambda params: params)
    made_by = spec(
        "lstm_projected", n_in=n_in, n=n, n_proj=narrow, peepholes=peepholes, forget_bias=forget_bias, policy=policy
    )
    return Cell(init, carry, project, step, None, made_by)
