"""sLSTM of Beck et al. 2024, "xLSTM: Extended long short-term memory": exponential gates, a normaliser n and a
stabiliser m.

    i = exp(a_i)        f = exp(a_f)        z = tanh(a_z)        o = s(a_o)        a = x W_x + h W_h + b
    c' = f * c + i * z          n' = f * n + i          h' = o * c' / n'           y = h'

Computed so, the exponentials overflow. Kept instead are c and n divided by exp(m), with m' the larger of the logarithms
of the two terms that n' is the sum of:

    m' = max(a_f + m, a_i)      i = exp(a_i - m')      f = exp(a_f + m - m')       the rest as above

h' is the same whatever m is. One of i and f is exactly 1 in each step, and n' at least 1 from the first step on. That
is so because c and n begin at 0 and m, the logarithm of their unit, at half the lowest number of its dtype, which does
for minus infinity and can be multiplied by 0. The first step then has i = 1 and f = 0, so h' = o * z, whatever the
gates are; begun at m = 0 it would divide 0 by 0 where a_f - a_i is large.

forget="sigmoid" is the paper's other forget gate, f = s(a_f), for which a_f above becomes log s(a_f). Blocks stand in
the order i, f, z, o. W_h mixes all units; the paper's heads are blocks on its diagonal.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.gated import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec

FORGETS = ("exponential", "sigmoid")


class Params(NamedTuple):
    w_x: Float[Array, "n_in 4n"]
    w_h: Float[Array, "n 4n"]
    b: Float[Array, "4n"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]
    c: Float[Array, "*batch n"]
    n: Float[Array, "*batch n"]
    m: Float[Array, "*batch n"]


def slstm(
    n_in: int,
    n: int,
    forget: Literal["exponential", "sigmoid"] = "exponential",
    forget_bias: float = 1.0,
    *,
    policy: Policy = Policy(),
) -> Cell:
    """The sLSTM cell: x [*batch, n_in] -> y = h [*batch, n].

    Raises ValueError on sizes below 1 or an unknown forget gate.
    """
    checks.size("slstm", n_in=n_in, n=n)
    checks.policy("slstm", policy)
    checks.number("slstm", forget_bias=forget_bias)
    checks.choice("slstm", "forget", forget, FORGETS)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h = jax.random.split(key)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, 4 * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 4, dtype),
            b=initializers.gate_bias(n, (0.0, forget_bias, 0.0, 0.0), dtype),
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        kept = policy.carry_dtype(params)
        h, c, normaliser = (jnp.zeros((*batch_shape, n), kept) for _ in range(3))  # not one thrice: each may be donated
        return Carry(h=h, c=c, n=normaliser, m=jnp.full_like(h, jnp.finfo(kept).min / 2))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("slstm", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def gates(small: Any, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        log_i, log_f, z, o = jnp.split(u + v, 4, axis=-1)
        if forget == "sigmoid":
            log_f = jax.nn.log_sigmoid(log_f)
        m = jnp.maximum(log_f + carry.m, log_i)
        i, f = jnp.exp(log_i - m), jnp.exp(log_f + carry.m - m)
        i, f, z, o = named("ifzo", [i, f, jnp.tanh(z), jax.nn.sigmoid(o)])
        c = f * carry.c + i * z
        normaliser = f * carry.n + i
        h = o * c / normaliser
        return Carry(h, c, normaliser, m), h

    gated = Gated(product=lambda params: params.w_h, gates=gates)
    made_by = spec("slstm", n_in=n_in, n=n, forget=forget, forget_bias=forget_bias, policy=policy)
    return Cell(init, carry, project, derive_step(gated, policy), gated, made_by)
