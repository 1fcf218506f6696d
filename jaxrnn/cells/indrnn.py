"""Independently recurrent network of Li et al. 2018, "Independently recurrent neural network (IndRNN)".

    h_t = relu(x_t W_x + w_h * h_{t-1} + b)          y_t = h_t

w_h [n] is a vector: each unit sees its own past alone, and units meet in the next layer. It begins uniformly in
[0, 1], the paper's start for networks that should keep both short and long memories. There is no product with the
past, so `step` is written out.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.policy import Policy, promote
from jaxrnn.types import Cell, spec


class Params(NamedTuple):
    w_x: Float[Array, "n_in n"]
    w_h: Float[Array, "n"]
    b: Float[Array, "n"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]


def indrnn(
    n_in: int, n: int, activation: str | Callable[[Array], Array] = "relu", *, policy: Policy = Policy()
) -> Cell:
    """The IndRNN cell: x [*batch, n_in] -> y = h [*batch, n].

    `activation` is a name of elman's ACTIVATIONS or an elementwise function.
    Raises ValueError on sizes below 1 or an unknown activation.
    """
    checks.size("indrnn", n_in=n_in, n=n)
    checks.policy("indrnn", policy)
    if not callable(activation):
        checks.choice("indrnn", "activation", activation, ACTIVATIONS)
    act = activation if callable(activation) else ACTIVATIONS[activation]
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h = jax.random.split(key)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, n), n_in, dtype),
            w_h=jax.random.uniform(key_h, (n,), dtype),
            b=jnp.zeros(n, dtype),
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        return Carry(jnp.zeros((*batch_shape, n), policy.carry_dtype(params)))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("indrnn", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def step(params: Params, carry: Carry, u: Array) -> tuple[Carry, Array]:
        wide = promote(u.dtype, params.w_h.dtype, carry.h.dtype)
        h = act(u.astype(wide) + params.w_h.astype(wide) * carry.h.astype(wide))
        return Carry(h.astype(carry.h.dtype)), policy.output(h)

    made_by = spec("indrnn", n_in=n_in, n=n, activation=activation, policy=policy)
    return Cell(init, carry, project, step, None, made_by)
