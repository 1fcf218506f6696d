"""What is particular to single cells; what holds for all of them is in test_laws.py."""

import jax
import jax.numpy as jnp
import numpy as np
from tiny import N_IN, B, N, T, close

from jaxrnn import indrnn, irnn, unroll

KEY = jax.random.key(11)
XS = jax.random.normal(jax.random.key(12), (T, B, N_IN))


def test_irnn_begins_as_the_identity():
    """Without input h is carried on unchanged; with `scale` it shrinks."""
    for scale in (1.0, 0.5):
        layer = unroll(irnn(N_IN, N, scale))
        h = jnp.arange(1.0, 1 + N)
        carry, _ = layer.apply(layer.init(KEY), layer.carry(())._replace(h=h), jnp.zeros((3, N_IN)))
        close(carry.h, h * scale**3, 0)


def test_indrnn_units_see_their_own_past_alone():
    cell = indrnn(N_IN, N)
    params = cell.init(KEY)
    assert params.w_h.shape == (N,)
    assert np.all((params.w_h >= 0) & (params.w_h <= 1))
    seen = jax.jacobian(lambda h: cell.step(params, cell.carry(())._replace(h=h), jnp.ones(N))[1])(jnp.ones(N))
    close(seen, jnp.diag(params.w_h))
