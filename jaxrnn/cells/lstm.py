"""Long short-term memory: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    i = s(x W_xi + h W_hi + c  P_i + b_i)          f = s(x W_xf + h W_hf + c P_f + b_f)
    g = tanh(x W_xg + h W_hg + b_g)                c' = f * c + i * g
    o = s(x W_xo + h W_ho + c' P_o + b_o)          h' = o * tanh(c')                   y = h'

Blocks stand in the order i, f, g, o. The peepholes P are absent, diagonal ([n], multiplied elementwise: Gers &
Schmidhuber 2000, Graves 2013 eq. 7-11) or full ([n, n], the article's W_ci, W_cf on c_{t-1} and W_co on c_t).
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.gated import derive_step, squash
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec

PEEPHOLES = (None, "diagonal", "full")


class Peepholes(NamedTuple):
    i: Float[Array, "n"] | Float[Array, "n n"] | None
    f: Float[Array, "n"] | Float[Array, "n n"] | None
    o: Float[Array, "n"] | Float[Array, "n n"] | None


class Params(NamedTuple):
    w_x: Float[Array, "n_in 4n"]
    w_h: Float[Array, "n 4n"]
    b: Float[Array, "4n"]
    peepholes: Peepholes | None


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]
    c: Float[Array, "*batch n"]


def lstm(
    n_in: int,
    n: int,
    peepholes: Literal["diagonal", "full"] | None = None,
    forget_bias: float = 1.0,
    *,
    policy: Policy = Policy(),
) -> Cell:
    """The LSTM cell: x [*batch, n_in] -> y = h [*batch, n].

    `forget_bias` is where b_f begins; 1.0 after Jozefowicz et al. 2015.
    Raises ValueError on sizes below 1 or unknown peepholes.
    """
    checks.size("lstm", n_in=n_in, n=n)
    checks.policy("lstm", policy)
    checks.number("lstm", forget_bias=forget_bias)
    checks.choice("lstm", "peepholes", peepholes, PEEPHOLES)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h, *key_p = jax.random.split(key, 5)
        shape = (n,) if peepholes == "diagonal" else (n, n)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, 4 * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 4, dtype),
            b=initializers.gate_bias(n, (0.0, forget_bias, 0.0, 0.0), dtype),
            peepholes=Peepholes(*(initializers.uniform(k, shape, n, dtype) for k in key_p)) if peepholes else None,
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        dtype = policy.carry_dtype(params)  # two arrays, not one twice: each may be donated
        return Carry(h=jnp.zeros((*batch_shape, n), dtype), c=jnp.zeros((*batch_shape, n), dtype))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("lstm", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def see(z: Array, c: Array, *through: Any) -> Array:
        """Pre-activations of gates with what they see of the cell state through their peepholes."""
        if peepholes == "diagonal":
            return z + jnp.concatenate([c * p for p in through], axis=-1)
        return z + policy.dot(c, jnp.concatenate(through, axis=-1)).astype(z.dtype)

    def gates(params: Params, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        z, p = u + v, params.peepholes
        if p is None:
            i, f, g, o = named("ifgo", squash(z, "ssts"))
            c = f * carry.c + i * g
        else:
            i, f = named("if", squash(see(z[..., : 2 * n], carry.c, p.i, p.f), "ss"))
            (g,) = named("g", [jnp.tanh(z[..., 2 * n : 3 * n])])
            c = f * carry.c + i * g
            (o,) = named("o", squash(see(z[..., 3 * n :], c, p.o), "s"))
        h = o * jnp.tanh(c)
        return Carry(h, c), h

    gated = Gated(product=lambda params: params.w_h, gates=gates)
    made_by = spec("lstm", n_in=n_in, n=n, peepholes=peepholes, forget_bias=forget_bias, policy=policy)
    if peepholes == "full":  # two more products a step: not a Gated cell, though written the same way
        return Cell(init, carry, project, derive_step(gated, policy, small=lambda params: params), None, made_by)
    return Cell(init, carry, project, derive_step(gated, policy), gated, made_by)
