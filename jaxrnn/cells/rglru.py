"""Real-gated linear recurrent unit of De et al. 2024, "Griffin", section 2.4, equations 1-4, with a as appendix A,
equation 6, has it, where Lambda is of the other sign.

    v = x W_v                   r = s(v W_r + b_r)              i = s(v W_i + b_i)
    log a = -c softplus(Lambda) r, c = 8                        h' = a * h + sqrt(1 - a^2) * (i * v)        y = h'

The paper's unit takes v as it is, as wide as h; W_v makes it so. Lambda begins where a^c is uniform in [0.9, 0.999]
at r = 1. The carry enters linearly: the method "associative" takes all steps at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.linear import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy, promote
from jaxrnn.types import Cell, Linear, spec

C = 8.0  # De et al. 2024, below eq. 4
TINY = 1e-12  # where r is 0 the square root would have no derivative


class Params(NamedTuple):
    w_x: Float[Array, "n_in n"]  # W_v
    w_v: Float[Array, "n 2n"]  # W_r, W_i
    b: Float[Array, "2n"]
    decay: Float[Array, "n"]  # Lambda


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]


def rglru(n_in: int, n: int, *, policy: Policy = Policy()) -> Cell:
    """The RG-LRU cell: x [*batch, n_in] -> y = h [*batch, n]. Raises ValueError on sizes below 1."""
    checks.size("rglru", n_in=n_in, n=n)
    checks.policy("rglru", policy)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_v, key_decay = jax.random.split(key, 3)
        a = jax.random.uniform(key_decay, (n,), promote(dtype, jnp.float32), 0.9, 0.999)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, n), n_in, dtype),
            w_v=initializers.uniform(key_v, (n, 2 * n), n, dtype),
            b=jnp.zeros(2 * n, dtype),
            decay=jnp.log(jnp.expm1(-jnp.log(a) / C)).astype(dtype),  # softplus(Lambda) = -log(a) / c
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        return Carry(jnp.zeros((*batch_shape, n), policy.carry_dtype(params)))

    def project(params: Params, xs: Array, key: object = None) -> tuple[Array, Array]:
        checks.features("rglru", xs, params.w_x.shape[0])
        v = policy.dot(xs, params.w_x)
        return v, policy.affine(v, params.w_v, params.b)

    def terms(params: Params, us: tuple[Array, Array]) -> tuple[Carry, Carry]:
        wide = promote(*(u.dtype for u in us), params.decay.dtype)
        v, gates = (u.astype(wide) for u in us)
        r, i = named("ri", jnp.split(jax.nn.sigmoid(gates), 2, axis=-1))
        log_a = -C * jax.nn.softplus(params.decay.astype(wide)) * r
        return Carry(jnp.exp(log_a)), Carry(jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_a), TINY)) * i * v)

    linear = Linear(terms, output=lambda params, carry, us: policy.output(carry.h))
    made_by = spec("rglru", n_in=n_in, n=n, policy=policy)
    return Cell(init, carry, project, derive_step(linear), linear, made_by)
