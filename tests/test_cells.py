"""What is particular to single cells; what holds for all of them is in test_laws.py."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from tiny import N_IN, B, N, T, close, randomized

from jaxrnn import (
    gru_layernorm,
    gru_projected,
    indrnn,
    irnn,
    lstm,
    lstm_layernorm,
    lstm_projected,
    lstm_variant,
    unroll,
)

KEY = jax.random.key(11)
XS = jax.random.normal(jax.random.key(12), (T, B, N_IN))


def count(cell):
    """How many weights a cell has."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(cell.init, KEY)))


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


def test_a_projected_lstm_may_have_peepholes():
    layer = unroll(lstm_projected(N_IN, N, 3, "diagonal"))
    params = randomized(KEY, layer.init(KEY))
    carry = randomized(KEY, layer.carry((B,)))
    after, ys = oracle.run(oracle.lstm_projected_diagonal, jax.tree.map(np.asarray, params), carry, XS)
    assert ys.shape[-1] == 3
    close(layer.apply(params, carry, XS), (type(carry)(*after), ys))


@pytest.mark.parametrize("make", [lstm_projected, gru_projected])
def test_a_projection_is_no_wider_than_what_it_projects(make):
    assert unroll(make(N_IN, 1)).carry(()).h.shape == (1,)
    with pytest.raises(ValueError, match="n_proj is 5, wanted at most n, which is 4"):
        make(N_IN, 4, 5)


@pytest.mark.parametrize("make", [lstm_layernorm, gru_layernorm])
def test_layer_norm_does_not_see_the_scale_of_x_or_of_the_weights(make):
    layer = unroll(make(N_IN, N, eps=1e-30))
    params = layer.init(KEY)
    carry = layer.carry((B,))
    wanted = layer.apply(params, carry, XS)
    close(layer.apply(params, carry, XS * 7), wanted, 1e-10)
    close(layer.apply(params._replace(w_x=params.w_x / 3, w_h=params.w_h * 5), carry, XS), wanted, 1e-10)
    with pytest.raises(ValueError, match="eps is 0, wanted a number above 0"):
        make(N_IN, N, eps=0)


@pytest.mark.parametrize(
    ("variant", "matrices", "vectors"),  # W_x and W_h blocks, recurrent gate blocks; peepholes and biases
    [
        ("NIG", (3, 0), 2 + 3),
        ("NFG", (3, 0), 2 + 3),
        ("NOG", (3, 0), 2 + 3),
        ("CIFG", (3, 0), 2 + 3),
        ("NIAF", (4, 0), 3 + 4),
        ("NOAF", (4, 0), 3 + 4),
        ("NP", (4, 0), 4),
        ("FGR", (4, 9), 3 + 4),
    ],
)
def test_a_variant_has_weights_for_what_it_has(variant, matrices, vectors):
    blocks, recurrent_gates = matrices
    wanted = blocks * (N_IN * N + N * N) + recurrent_gates * N * N + vectors * N
    assert count(lstm_variant(N_IN, N, variant)) == wanted


def test_np_is_the_lstm_without_peepholes():
    """And the forget bias begins in f, wherever f stands."""
    plain, variant = unroll(lstm(N_IN, N)), unroll(lstm_variant(N_IN, N, "NP"))
    params = plain.init(KEY)
    same = variant.init(KEY)._replace(w_x=params.w_x, w_h=params.w_h, b=params.b)
    close(tuple(variant.apply(same, variant.carry((B,)), XS)[0]), tuple(plain.apply(params, plain.carry((B,)), XS)[0]))
    close(lstm_variant(N_IN, N, "NIG", forget_bias=2.5).init(KEY).b, jnp.array([2.5] * N + [0.0] * 2 * N), 0)
