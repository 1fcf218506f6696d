"""minLSTM of Feng et al. 2024, "Were RNNs all we needed?", section 3.2: an LSTM whose gates do not see the past.

    f = s(x W_f + b_f)      i = s(x W_i + b_i)      n = g(x W_n + b_n)      h' = f/(f+i) * h + i/(f+i) * n      y = h'

g is minGRU's. The two shares are taken in log space (their appendix B): with d = softplus(-a_f) - softplus(-a_i),
log f/(f+i) = -softplus(d) and log i/(f+i) = -softplus(-d), where f + i itself may vanish. Blocks stand in the order
f, i, n. The carry enters linearly: the method "associative" takes all steps at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.cells.mingru import positive
from jaxrnn.linear import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Linear, spec


class Params(NamedTuple):
    w_x: Float[Array, "n_in 3n"]
    b: Float[Array, "3n"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]


def minlstm(n_in: int, n: int, forget_bias: float = 1.0, *, policy: Policy = Policy()) -> Cell:
    """The minLSTM cell: x [*batch, n_in] -> y = h [*batch, n]. Raises ValueError on sizes below 1."""
    checks.size("minlstm", n_in=n_in, n=n)
    checks.policy("minlstm", policy)
    checks.number("minlstm", forget_bias=forget_bias)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        w_x = initializers.uniform(key, (n_in, 3 * n), n_in, dtype)
        return Params(w_x, initializers.gate_bias(n, (forget_bias, 0.0, 0.0), dtype))

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        return Carry(jnp.zeros((*batch_shape, n), policy.carry_dtype(params)))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("minlstm", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def terms(params: Params, us: Array) -> tuple[Carry, Carry]:
        f, i, new = jnp.split(us, 3, axis=-1)
        d = jax.nn.softplus(-f) - jax.nn.softplus(-i)
        f, i = named("fi", [jnp.exp(-jax.nn.softplus(d)), jnp.exp(-jax.nn.softplus(-d))])
        return Carry(f), Carry(i * positive(new))

    linear = Linear(terms, output=lambda params, carry, us: policy.output(carry.h))
    made_by = spec("minlstm", n_in=n_in, n=n, forget_bias=forget_bias, policy=policy)
    return Cell(init, carry, project, derive_step(linear), linear, made_by)
