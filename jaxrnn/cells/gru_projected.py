"""GRU with a recurrent projection: what lstm_projected does, done to gru(form="after").

    r = s(x W_xr + h W_hr + b_r)        n = tanh(x W_xn + b + r * (h W_hn + b_n))
    z = s(x W_xz + h W_hz + b_z)        c' = (1 - z) * n + z * c          h' = c' W_p          y = h'

The products with the past read the narrow h [n_proj], while the state that z carries on is the wide c [n], as in the
projected GRU of Cheng et al. 2018, "Output-gate projected gated recurrent unit for speech recognition". Theirs resets
before the product; here r stands after it, as in cuDNN, where it costs no second product. Blocks stand in the order
r, z, n.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.cells.lstm_projected import projected_size
from jaxrnn.gated import derive_step
from jaxrnn.observer import named
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec


class Params(NamedTuple):
    w_x: Float[Array, "n_in 3n"]
    w_h: Float[Array, "n_proj 3n"]
    b: Float[Array, "3n"]
    b_n: Float[Array, "n"]
    w_p: Float[Array, "n n_proj"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n_proj"]
    c: Float[Array, "*batch n"]


def gru_projected(n_in: int, n: int, n_proj: int | None = None, *, policy: Policy = Policy()) -> Cell:
    """The projected GRU cell: x [*batch, n_in] -> y = h [*batch, n_proj], with a state of n units behind it.

    `n_proj` is half of n unless given. Raises ValueError on sizes below 1 or n_proj above n.
    """
    checks.size("gru_projected", n_in=n_in, n=n)
    checks.policy("gru_projected", policy)
    narrow = projected_size("gru_projected", n, n_proj)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h, key_p = jax.random.split(key, 3)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, 3 * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 3, dtype)[:narrow],  # its rows are orthonormal in each block
            b=jnp.zeros(3 * n, dtype),
            b_n=jnp.zeros(n, dtype),
            w_p=initializers.uniform(key_p, (n, narrow), n, dtype),
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        kept = policy.carry_dtype(params)
        return Carry(h=jnp.zeros((*batch_shape, narrow), kept), c=jnp.zeros((*batch_shape, n), kept))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("gru_projected", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def gates(params: Params, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        r, z = named("rz", jnp.split(jax.nn.sigmoid(u[..., : 2 * n] + v[..., : 2 * n]), 2, axis=-1))
        (new,) = named("n", [jnp.tanh(u[..., 2 * n :] + r * (v[..., 2 * n :] + params.b_n))])
        c = (1 - z) * new + z * carry.c
        h = policy.dot(c, params.w_p).astype(u.dtype)
        return Carry(h, c), h

    # A second product, after the gates: not a Gated cell, though written the same way.
    step = derive_step(Gated(lambda params: params.w_h, gates), policy, small=lambda params: params)
    made_by = spec("gru_projected", n_in=n_in, n=n, n_proj=narrow, policy=policy)
    return Cell(init, carry, project, step, None, made_by)
