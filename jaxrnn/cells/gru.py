"""Gated recurrent units, in the three forms that are called so. Blocks stand in the order r, z, n.

    r = s(x W_xr + h W_hr + b_r)        z = s(x W_xz + h W_hz + b_z)

    after     n = tanh(x W_xn + b + r * (h W_hn + b_n))          h' = (1 - z) * n + z * h
              cuDNN, PyTorch, and Keras with reset_after=True
    before    n = tanh(x W_xn + b + (r * h) W_hn)                h' = (1 - z) * n + z * h
              Cho et al. 2014, eq. 5-8
    article   n = tanh((x W_xn) * r + (h W_hn) * (1 - z) + b)    h' = (1 - z) * h + z * n
              the tutorial article's own: the reset gate weighs the input, and z is turned round

y = h' in all. `b` above is the third block of the bias [3n]; `b_n` [n] belongs to "after" alone.
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

FORMS = ("after", "before", "article")


class Params(NamedTuple):
    w_x: Float[Array, "n_in 3n"]
    w_h: Float[Array, "n 3n"]
    b: Float[Array, "3n"]
    b_n: Float[Array, "n"] | None


class Carry(NamedTuple):
    h: Float[Array, "*batch n"]


def gru(n_in: int, n: int, form: Literal["after", "before", "article"] = "after", *, policy: Policy = Policy()) -> Cell:
    """The GRU cell: x [*batch, n_in] -> y = h [*batch, n].

    Raises ValueError on sizes below 1 or an unknown form. The forms are different functions of the same
    weights: none can be converted into another.
    """
    checks.size("gru", n_in=n_in, n=n)
    checks.policy("gru", policy)
    checks.choice("gru", "form", form, FORMS)
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_x, key_h = jax.random.split(key)
        return Params(
            w_x=initializers.uniform(key_x, (n_in, 3 * n), n_in, dtype),
            w_h=initializers.orthogonal(key_h, n, 3, dtype),
            b=jnp.zeros(3 * n, dtype),
            b_n=jnp.zeros(n, dtype) if form == "after" else None,
        )

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        return Carry(jnp.zeros((*batch_shape, n), policy.carry_dtype(params)))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("gru", xs, params.w_x.shape[0])
        bias = params.b.at[2 * n :].set(0) if form == "article" else params.b  # its b_n stands outside r
        return policy.affine(xs, params.w_x, bias)

    def reset_and_update(u: Array, v: Array) -> list[Array]:
        return named("rz", jnp.split(jax.nn.sigmoid(u[..., : 2 * n] + v[..., : 2 * n]), 2, axis=-1))

    def after(small: Any, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        r, z = reset_and_update(u, v)
        (new,) = named("n", [jnp.tanh(u[..., 2 * n :] + r * (v[..., 2 * n :] + small.b_n))])
        h = (1 - z) * new + z * carry.h
        return Carry(h), h

    def before(params: Params, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        r, z = reset_and_update(u, v)
        v_n = policy.dot(r * carry.h, params.w_h[:, 2 * n :]).astype(u.dtype)
        (new,) = named("n", [jnp.tanh(u[..., 2 * n :] + v_n)])
        h = (1 - z) * new + z * carry.h
        return Carry(h), h

    def article(small: Any, carry: Carry, u: Array, v: Array) -> tuple[Carry, Array]:
        r, z = reset_and_update(u, v)
        (new,) = named("n", [jnp.tanh(u[..., 2 * n :] * r + v[..., 2 * n :] * (1 - z) + small.b[2 * n :])])
        h = (1 - z) * carry.h + z * new
        return Carry(h), h

    made_by = spec("gru", n_in=n_in, n=n, form=form, policy=policy)
    if form == "before":  # its second product waits for the first: not a Gated cell, though written the same way
        pair = Gated(product=lambda params: params.w_h[:, : 2 * n], gates=before)
        return Cell(init, carry, project, derive_step(pair, policy, small=lambda params: params), None, made_by)
    gated = Gated(product=lambda params: params.w_h, gates=after if form == "after" else article)
    return Cell(init, carry, project, derive_step(gated, policy), gated, made_by)
