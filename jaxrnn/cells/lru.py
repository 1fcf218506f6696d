"""Linear recurrent unit of Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences".

    lambda = exp(-exp(nu) + i exp(theta))        h' = lambda * h + gamma * (x B)        y = Re(h' C) + x D

h is complex; lambda lies inside the unit circle whatever nu is (their section 3.3), and gamma = sqrt(1 - |lambda|^2) at
the start keeps h about as large as x (eq. 7), learned as its logarithm. lambda begins uniformly on the ring between
r_min and r_max, its phase below max_phase. B, C and the carry are kept as pairs of reals, so that optimisers,
checkpoints and exports need not know complex numbers. D is a full matrix, since x need not be as wide as y.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from jaxrnn import checks
from jaxrnn.linear import derive_step
from jaxrnn.policy import Policy, promote
from jaxrnn.types import Cell, Linear, spec


class Params(NamedTuple):
    nu: Float[Array, "n"]
    theta: Float[Array, "n"]
    gamma: Float[Array, "n"]  # the logarithm of what multiplies x B
    w_x: Float[Array, "n_in 3n"]  # Re B, Im B, D
    w_y: Float[Array, "2n n"]  # Re C over -Im C


class Carry(NamedTuple):
    re: Float[Array, "*batch n"]
    im: Float[Array, "*batch n"]


def pack(carry: Carry) -> Complex[Array, "*batch n"]:
    dtype = promote(jnp.float32, carry.re.dtype)
    return jax.lax.complex(carry.re.astype(dtype), carry.im.astype(dtype))


def lru(
    n_in: int, n: int, r_min: float = 0.0, r_max: float = 0.99, max_phase: float = 6.283, *, policy: Policy = Policy()
) -> Cell:
    """The LRU cell: x [*batch, n_in] -> y [*batch, n], with n complex units.

    Raises ValueError on sizes below 1, or unless 0 <= r_min < r_max < 1.
    """
    checks.size("lru", n_in=n_in, n=n)
    checks.policy("lru", policy)
    checks.number("lru", r_min=r_min, r_max=r_max)
    checks.positive("lru", max_phase=max_phase)
    if not 0 <= r_min < r_max < 1:
        raise ValueError(f"lru: r_min and r_max are {r_min} and {r_max}, wanted 0 <= r_min < r_max < 1")
    dtype = policy.param_dtype

    def init(key: PRNGKeyArray) -> Params:
        key_r, key_phase, key_b, key_d, key_y = jax.random.split(key, 5)
        exact = promote(dtype, jnp.float32)
        square = jax.random.uniform(key_r, (n,), exact, r_min**2, r_max**2)
        phase = jax.random.uniform(key_phase, (n,), exact, 1e-3, max_phase)
        b = jax.random.normal(key_b, (n_in, 2 * n), exact) / (2 * n_in) ** 0.5
        d = jax.random.normal(key_d, (n_in, n), exact) / n_in**0.5
        params = Params(
            nu=jnp.log(-0.5 * jnp.log(jnp.maximum(square, 1e-12))),
            theta=jnp.log(phase),
            gamma=0.5 * jnp.log1p(-square),
            w_x=jnp.concatenate([b, d], axis=1),
            w_y=jax.random.normal(key_y, (2 * n, n), exact) / n**0.5,
        )
        return Params(*(leaf.astype(dtype) for leaf in params))

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        dtype = policy.carry_dtype(params)  # two arrays, not one twice: each may be donated
        return Carry(jnp.zeros((*batch_shape, n), dtype), jnp.zeros((*batch_shape, n), dtype))

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("lru", xs, params.w_x.shape[0])
        return policy.dot(xs, params.w_x)

    def terms(params: Params, us: Array) -> tuple[Array, Array]:
        wide = promote(us.dtype, params.nu.dtype, jnp.float32)
        nu, theta, gamma = (leaf.astype(wide) for leaf in (params.nu, params.theta, params.gamma))
        decay = jnp.exp(jax.lax.complex(-jnp.exp(nu), jnp.exp(theta)))
        re, im = us[..., :n].astype(wide), us[..., n : 2 * n].astype(wide)
        b = jax.lax.complex(jnp.exp(gamma) * re, jnp.exp(gamma) * im)
        return jnp.broadcast_to(decay, b.shape), b

    def output(params: Params, carry: Carry, us: Array) -> Array:
        y = policy.dot(jnp.concatenate([carry.re, carry.im], axis=-1), params.w_y)
        wide = promote(y.dtype, us.dtype)
        return policy.output(y.astype(wide) + us[..., 2 * n :].astype(wide))

    linear = Linear(terms, output, pack, unpack=lambda h: Carry(h.real, h.imag))
    made_by = spec("lru", n_in=n_in, n=n, r_min=r_min, r_max=r_max, max_phase=max_phase, policy=policy)
    return Cell(init, carry, project, derive_step(linear), linear, made_by)
