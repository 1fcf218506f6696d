"""The simple recurrent network of Elman 1990 ("Finding structure in time"), with one bias.

    h_t = tanh(x_t W_x + h_{t-1} W_h + b)          y_t = h_t

Elman's own units are logistic, as `activation="sigmoid"` has them; the tanh is the article's. Its output layer
y_t = h_t W_hy + b_y is `dense`. PyTorch's nn.RNN has two biases that are only ever added; here they are one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.gated import derive_step
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, Gated, spec

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "identity": lambda x: x,
}


class Params(NamedTuple):
    w_x: Float[Array, "n_in n"]
    w_h: Float[Array, "n n"]
    b: Float[Array, "n"]


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]


def elman(n_in: int, n: int, activation: str | Callable[[Array], Array] = "tanh", *, policy: Policy = Policy()) -> Cell:
    """The Elman cell: x [*batch, n_in] -> y = h [*batch, n].

    `activation` is a name of ACTIVATIONS (tanh, relu, sigmoid, identity) or an elementwise function.
    Raises ValueError on sizes below 1 or an unknown activation.
    """
    checks.size("elman", n_in=n_in, n=n)
    checks.policy("elman", policy)
    if not callable(activation):
        checks.choice("elman", "activation", activation, ACTIVATIONS)
    act = activation if callable(activation) else ACTIVATIONS[activation]
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h = jax.random.split(key)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 1, dtype),
            b=jnp.zeros(n, dtype),
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        return Carry(jnp.zeros((*batch_shape, n), policy.carry_dtype(params)))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("elman", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def gates(small: Params, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        h = act(u + v)
        return Carry(h), h

    gated = Gated(product=lambda params: params.w_h, gates=gates)
    made_by = spec("elman", n_in=n_in, n=n, activation=activation, policy=policy)
    return Cell(init, carry, project, derive_step(gated, policy), gated, made_by)
