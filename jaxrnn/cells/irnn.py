"""IRNN of Le et al. 2015, "A simple way to initialize recurrent networks of rectified linear units".

    h_t = relu(x_t W_x + h_{t-1} W_h + b)          y_t = h_t

The Elman network with rectified units whose W_h begins as the identity and b as zero, so that without input h is
carried on unchanged. `scale` is the paper's other start, a small multiple of the identity (0.01 for its speech task),
which forgets at once. W_x begins as everywhere here; the paper draws it from N(0, 0.001).
"""

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.cells.elman import Carry, Params, elman
from jaxrnn.policy import Policy
from jaxrnn.types import Cell, spec

__all__ = ["Carry", "Params", "irnn"]


def irnn(n_in: int, n: int, scale: float = 1.0, *, policy: Policy = Policy()) -> Cell:
    """The IRNN cell: x [*batch, n_in] -> y = h [*batch, n]. Raises ValueError on sizes below 1."""
    checks.size("irnn", n_in=n_in, n=n)
    checks.policy("irnn", policy)
    checks.number("irnn", scale=scale)
    dtype = policy.param_dtype
    rectified = elman(n_in, n, "relu", policy=policy)

    def init(key: PRNGKeyArray) -> Params:
        return Params(
            w_x=initializers.uniform(key, (n_in, n), n_in, dtype),
            w_h=jnp.eye(n, dtype=dtype) * scale,
            b=jnp.zeros(n, dtype),
        )

    def project(params: Params, xs: Array, key: object = None) -> Array:
        checks.features("irnn", xs, params.w_x.shape[0])
        return rectified.project(params, xs, key)

    made_by = spec("irnn", n_in=n_in, n=n, scale=scale, policy=policy)
    return rectified._replace(init=init, project=project, spec=made_by)
