"""Attributions against closed forms, and their sum against the output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import batch_major, bidirectional, dense, elman, embed, gru, last, lstm, stack, unroll
from jaxrnn.analysis import gradient_times_input, integrated_gradients
from jaxrnn.cells.elman import Params

T, B = 6, 2


def test_of_a_linear_network_both_are_the_closed_form():
    """y_T = sum over t of x_t w_x w_h^(T-1-t)."""
    layer = unroll(elman(2, 3, activation="identity"))
    w_x, w_h, xs = (jax.random.normal(jax.random.key(k), shape) for k, shape in ((0, (2, 3)), (1, (3, 3)), (2, (T, 2))))
    params = Params(w_x, w_h, jnp.zeros(3))
    powers = [np.linalg.matrix_power(w_h, T - 1 - t)[:, 1] for t in range(T)]
    wanted = np.stack([xs[t] * (w_x @ powers[t]) for t in range(T)])
    np.testing.assert_allclose(gradient_times_input(layer, params, xs, lambda ys: ys[-1, 1]), wanted, atol=1e-12)
    found = integrated_gradients(layer, params, xs, lambda ys: ys[-1, 1])
    np.testing.assert_allclose(found.values, wanted, atol=1e-12)


NETWORKS = {
    "series": last(stack(unroll(lstm(3, 4)), dense(4, 2))),
    "both ways": stack(bidirectional(unroll(gru(3, 4)), unroll(gru(3, 4), reverse=True)), dense(8, 2)),
    "symbols": stack(embed(5, 3), unroll(lstm(3, 4, peepholes="diagonal")), dense(4, 2)),
}


@pytest.mark.parametrize(
    ("name", "based"), [("series", False), pytest.param("both ways", True, marks=pytest.mark.heavy), ("symbols", True)]
)
def test_integrated_gradients_are_complete(name, based):
    layer = NETWORKS[name]
    params = jax.tree.map(lambda a: 3 * a, layer.init(jax.random.key(0)))  # well into saturation
    symbols = name == "symbols"
    xs = (
        jax.random.randint(jax.random.key(1), (T, B), 0, 5)
        if symbols
        else jax.random.normal(jax.random.key(1), (T, B, 3))
    )
    base = jnp.full(5, 0.2) if symbols else jnp.asarray(0.3)
    given, start = (jax.nn.one_hot(xs, 5, dtype=float), base) if symbols else (xs, base)
    start = jnp.broadcast_to(start if based else jnp.zeros(()), given.shape)

    def of(ys):
        return jnp.tanh(ys).sum()

    def output(inputs):
        return of(layer.apply(params, layer.carry((B,), params), inputs)[1])

    found = integrated_gradients(layer, params, xs, of, baseline=base if based else None, nodes=24, tolerance=1e-9)
    assert found.values.shape == xs.shape
    np.testing.assert_allclose(found.values.sum(), output(given) - output(start), atol=1e-8)
    np.testing.assert_allclose(found.missing, 0, atol=1e-8)


def test_halving_finds_a_switch_that_even_nodes_miss():
    """tanh with a slope of 10,000 about a place on the line, which 8 even nodes do not see."""
    layer = dense(1, 1)
    params = layer.init(jax.random.key(0))._replace(w=jnp.ones((1, 1)), b=jnp.zeros(1))

    def of(ys):
        return jnp.tanh(1e4 * (ys[0, 0] - 0.3123)) + ys[1, 0]

    xs = jnp.array([[1.0], [1.0]])
    assert abs(integrated_gradients(layer, params, xs, of, halvings=1).missing) > 1
    found = integrated_gradients(layer, params, xs, of, halvings=30)
    np.testing.assert_allclose(found.values[:, 0], [2, 1], atol=0.01)


def test_the_carry_and_the_mask_are_heeded():
    layer = unroll(gru(3, 4))
    params, xs = layer.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (T, B, 3))
    mask = jnp.ones((T, B), bool).at[2:, 1].set(False)
    carry = jax.tree.map(lambda a: a + 0.5, layer.carry((B,), params))
    found = integrated_gradients(layer, params, xs, lambda ys: ys.sum(), carry=carry, mask=mask)
    assert (found.values[2:, 1] == 0).all()
    whole, nothing = (layer.apply(params, carry, x, mask=mask)[1].sum() for x in (xs, jnp.zeros_like(xs)))
    np.testing.assert_allclose(found.values.sum(), whole - nothing, atol=1e-3)


@pytest.mark.parametrize("symbols", [False, True])
def test_with_the_batch_first_the_values_are_too(symbols):
    layer = stack(embed(5, 3), unroll(gru(3, 4))) if symbols else unroll(gru(3, 4))
    params, key = layer.init(jax.random.key(0)), jax.random.key(1)
    xs = jax.random.randint(key, (T, B), 0, 5) if symbols else jax.random.normal(key, (T, B, 3))
    turned = jnp.swapaxes(xs, 0, 1)
    for f in (gradient_times_input, lambda *args: integrated_gradients(*args).values):
        wanted = f(layer, params, xs, lambda ys: ys[-1, 1].sum())
        found = f(batch_major(layer), params, turned, lambda ys: ys[1, -1].sum())
        np.testing.assert_allclose(found, jnp.swapaxes(wanted, 0, 1), atol=1e-12)
    with pytest.raises(ValueError, match=r"gradient_times_input: xs has .* wanted \[B, T, "):
        gradient_times_input(batch_major(layer), params, turned[0], lambda ys: ys.sum())


def test_what_cannot_be_explained_is_told():
    layer = unroll(gru(3, 4))
    params, xs = layer.init(jax.random.key(0)), jnp.ones((T, 3))
    with pytest.raises(ValueError, match="of gives float64\\[6, 4\\], wanted one number"):
        gradient_times_input(layer, params, xs, lambda ys: ys)
    with pytest.raises(ValueError, match="for a layer that begins with embed"):
        gradient_times_input(layer, params, jnp.ones(T, int), lambda ys: ys.sum())
    with pytest.raises(ValueError, match="baseline is float64\\[2\\], wanted one that broadcasts to \\[6, 3\\]"):
        integrated_gradients(layer, params, xs, lambda ys: ys.sum(), baseline=jnp.zeros(2))
