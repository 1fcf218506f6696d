"""Equinox's LSTMCell and GRUCell come and go with their values, final states and every gradient."""

import jax
import numpy as np
import pytest

from jaxrnn import elman, gru, last, lstm, unroll

from .comparing import B, T, agree, made, randomized, refused, same

eqx = pytest.importorskip("equinox", reason="the extra `peers` brings Equinox")

from jaxrnn.interop import from_equinox, to_equinox

CELLS = {
    "lstm": lambda **k: eqx.nn.LSTMCell(3, 4, dtype=np.float32, key=jax.random.key(0), **k),
    "gru": lambda **k: eqx.nn.GRUCell(3, 4, dtype=np.float32, key=jax.random.key(0), **k),
}
cells = pytest.mark.parametrize("name", CELLS)


def as_carry(carry):
    return tuple(carry) if len(carry) == 2 else carry.h


@cells
def test_values_and_gradients_are_those_of_equinox(name):
    cell = CELLS[name]()
    layer, params = from_equinox(cell)
    xs, carry = randomized(1, (np.zeros((T, B, 3)), layer.carry((B,), params)))

    def theirs(cell, carry, xs):
        def step(carry, x):
            carry = jax.vmap(cell)(x, carry)
            return carry, carry[0] if isinstance(carry, tuple) else carry

        return jax.lax.scan(step, carry, xs)

    agree(layer, params, carry, xs, theirs, cell, lambda d: to_equinox(layer, d), as_carry)


@cells
@pytest.mark.parametrize("use_bias", [True, False])
def test_the_round_trip_is_exact(name, use_bias):
    cell = CELLS[name](use_bias=use_bias)
    ours = from_equinox(cell)
    there = to_equinox(*ours)
    same(from_equinox(there), ours)
    if use_bias:
        assert jax.tree.structure(there) == jax.tree.structure(cell)
        assert all(map(np.array_equal, jax.tree.leaves(there), jax.tree.leaves(cell)))
    else:
        assert not np.any(there.bias)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (unroll(elman(3, 4)), "to_equinox: Equinox has no elman; it has lstm, gru"),
        (
            last(unroll(lstm(3, 4))),
            "to_equinox: Equinox has the cell alone, without direction or axes; wanted unroll(cell)",
        ),
        (
            unroll(gru(3, 4, form="before")),
            "to_equinox: Equinox's gru has no form='before', only 'after': reset before or after the product are "
            "different functions, and no weights turn one into the other",
        ),
        (
            unroll(lstm(3, 4, peepholes="full")),
            "to_equinox: Equinox's lstm has no peepholes='full', only None: no weights stand in for peepholes",
        ),
    ],
)
def test_what_equinox_cannot_compute_is_refused(layer, message):
    refused(message, to_equinox, layer, made(layer))


def test_what_is_not_here_is_refused():
    linear = eqx.nn.Linear(2, 2, key=jax.random.key(0))
    refused("from_equinox: cell is a Linear, wanted eqx.nn.LSTMCell or eqx.nn.GRUCell", from_equinox, linear)
