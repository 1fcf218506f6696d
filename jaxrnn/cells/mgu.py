"""Minimal gated unit of Zhou et al. 2016, "Minimal gated unit for recurrent neural networks": a GRU with one gate.

    f = s(x W_xf + h W_hf + b_f)

    before    n = tanh(x W_xn + b + (f * h) W_hn)                h' = (1 - f) * h + f * n
              the paper
    after     n = tanh(x W_xn + b + f * (h W_hn + b_n))          h' = (1 - f) * n + f * h
              Flax's MGUCell: f stands after the product, and the other way round in h'

y = h' in both. Blocks stand in the order f, n; `b` above is the second block of the bias [2n], and `b_n` [n] belongs
to "after" alone. b_f begins at 1, Flax's choice: it keeps the past in "after" and renews it in "before".
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

FORMS = ("before", "after")


class Params(NamedTuple):
    w_x: Float[Array, "n_in 2n"]
    w_h: Float[Array, "n 2n"]
    b: Float[Array, "2n"]
    b_n: Float[Array, "n"] | None


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]


def mgu(
    n_in: int,
    n: int,
    form: Literal["before", "after"] = "before",
    forget_bias: float = 1.0,
    *,
    policy: Policy = Policy(),
) -> Cell:
    """The MGU cell: x [*batch, n_in] -> y = h [*batch, n].

    Raises ValueError on sizes below 1 or an unknown form.
    """
    checks.size("mgu", n_in=n_in, n=n)
    checks.policy("mgu", policy)
    checks.number("mgu", forget_bias=forget_bias)
    checks.choice("mgu", "form", form, FORMS)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h = jax.random.split(key)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, 2 * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 2, dtype),
            b=initializers.gate_bias(n, (forget_bias, 0.0), dtype),
            b_n=jnp.zeros(n, dtype) if form == "after" else None,
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        return Carry(jnp.zeros((*batch_shape, n), policy.carry_dtype(params)))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("mgu", xs, params.w_x.shape[0])
        return policy.affine(xs, params.w_x, params.b)

    def before(params: Params, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        (f,) = named("f", [jax.nn.sigmoid(u[..., :n] + v)])
        v_n = policy.dot(f * carry.h, params.w_h[:, n:]).astype(u.dtype)
        (new,) = named("n", [jnp.tanh(u[..., n:] + v_n)])
        h = (1 - f) * carry.h + f * new
        return Carry(h), h

    def after(small: Any, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        (f,) = named("f", [jax.nn.sigmoid(u[..., :n] + v[..., :n])])
        (new,) = named("n", [jnp.tanh(u[..., n:] + f * (v[..., n:] + small.b_n))])
        h = (1 - f) * new + f * carry.h
        return Carry(h), h

    made_by = spec("mgu", n_in=n_in, n=n, form=form, forget_bias=forget_bias, policy=policy)
    if form == "before":  # its second product waits for the first: not a Gated cell, though written the same way
        alone = Gated(product=lambda params: params.w_h[:, :n], gates=before)
        return Cell(init, carry, project, derive_step(alone, policy, small=lambda params: params), None, made_by)
    gated = Gated(product=lambda params: params.w_h, gates=after)
    return Cell(init, carry, project, derive_step(gated, policy), gated, made_by)
