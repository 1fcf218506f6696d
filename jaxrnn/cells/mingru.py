"""minGRU of Feng et al. 2024, "Were RNNs all we needed?", section 3.1: a GRU whose gates do not see the past.

    z = s(x W_z + b_z)          n = g(x W_n + b_n)          h' = (1 - z) * h + z * n          y = h'

g(x) is x + 1/2 for x >= 0 and s(x) below, so that h stays positive (their appendix B). Blocks stand in the order
z, n. The carry enters linearly: the method "associative" takes all steps at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.linear import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Linear, spec


class Params(NamedTuple):
    w_x: Float[Array, "n_in 2n"]
    b: Float[Array, "2n"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]


def positive(x: Array) -> Array:
    """g of the paper: continuous, increasing, above 0 everywhere."""
    return jnp.where(x >= 0, x + 0.5, jax.nn.sigmoid(x))


def mingru(n_in: int, n: int, *, policy: Policy = Policy()) -> Cell:
    """The minGRU cell: x [*batch, n_in] -> y = h [*batch, n]. Raises ValueError on sizes below 1."""
    checks.size("mingru", n_in=n_in, n=n)
    checks.policy("mingru", policy)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        return Params(initializers.uniform(key, (n_in, 2 * n), n_in, dtype), jnp.zeros(2 * n, dtype))

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        return Carry(jnp.zeros((*batch_shape, n), policy.carry_dtype(params)))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("mingru", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def terms(params: Params, us: Array) -> tuple[Carry, Carry]:
        z, new = jnp.split(us, 2, axis=-1)
        (z,) = named("z", [jax.nn.sigmoid(z)])
        return Carry(1 - z), Carry(z * positive(new))

    linear = Linear(terms, output=lambda params, carry, us: policy.output(carry.h))
    made_by = spec("mingru", n_in=n_in, n=n, policy=policy)
    return Cell(init, carry, project, derive_step(linear), linear, made_by)
