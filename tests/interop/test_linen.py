"""linen's nn.RNN and nn.Bidirectional come and go with their values, final states and every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import batch_major, bidirectional, dropout, elman, gru, last, lstm, stack, unroll

from .comparing import B, T, agree, made, randomized, refused, same, standard

pytest.importorskip("flax", reason="the extra `peers` brings Flax")

import flax.linen as nn

from jaxrnn.interop import from_linen, to_linen

CELLS = {
    "simple": lambda: nn.SimpleCell(4),
    "relu": lambda: nn.SimpleCell(4, activation_fn=nn.relu),
    "lstm": lambda: nn.LSTMCell(4),
    "optimized": lambda: nn.OptimizedLSTMCell(4),
    "gru": lambda: nn.GRUCell(4),
}
MODULES = {
    "simple": lambda: nn.RNN(CELLS["simple"]()),
    "relu": lambda: nn.RNN(CELLS["relu"](), time_major=True, reverse=True, keep_order=True),
    "lstm": lambda: nn.RNN(CELLS["lstm"](), time_major=True),
    "optimized": lambda: nn.RNN(CELLS["optimized"](), reverse=True),
    "gru": lambda: nn.RNN(CELLS["gru"](), time_major=True),
    "both": lambda: nn.Bidirectional(nn.RNN(CELLS["gru"]()), nn.RNN(CELLS["gru"]())),
}
modules = pytest.mark.parametrize("name", MODULES)


def example(name):
    """(module, random variables, xs)."""
    module = MODULES[name]()
    xs = randomized(1, np.zeros((T, B, 3) if module.time_major else (B, T, 3)))
    like = jax.eval_shape(standard(module.init), jax.random.key(0), xs)
    return module, randomized(0, like), xs


def as_carry(carry):
    """linen's (c, h), or h."""
    if isinstance(carry[0], tuple):
        return tuple(map(as_carry, carry))
    return (carry.c, carry.h) if len(carry) == 2 else carry.h


@modules
def test_values_and_gradients_are_those_of_linen(name):
    module, variables, xs = example(name)
    layer, params = from_linen(module, variables)
    carry = randomized(3, layer.carry((B,), params))

    def theirs(variables, carry, xs):
        return module.apply(variables, xs, initial_carry=carry, return_carry=True)

    agree(layer, params, carry, xs, theirs, variables, lambda d: to_linen(layer, d)[1], as_carry)


@modules
def test_the_round_trip_is_exact(name):
    module, variables, _ = example(name)
    ours = from_linen(module, variables)
    there, back = to_linen(*ours)
    same(from_linen(there, back), ours)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(variables)))
    kept = ("time_major",) if name == "both" else ("time_major", "reverse", "keep_order")
    assert [getattr(there, option) for option in kept] == [getattr(module, option) for option in kept]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            stack(unroll(lstm(3, 4)), unroll(lstm(4, 4))),
            "to_linen: the layer is a stack of 2, and linen's is single; convert each",
        ),
        (
            stack(unroll(lstm(3, 4)), dropout(0.5)),
            "to_linen: the layer has dropout, and linen's has none of its kind",
        ),
        (last(unroll(lstm(3, 4))), "to_linen: the layer is under last(...), and linen's gives all ys"),
        (
            batch_major(bidirectional(last(unroll(lstm(3, 4))), last(unroll(lstm(3, 4), reverse=True)))),
            "to_linen: a direction is under last(...), and linen's gives all ys",
        ),
        (
            unroll(gru(3, 4, form="before")),
            "to_linen: linen's gru has no form='before', only 'after': reset before or after the product are different "
            "functions, and no weights turn one into the other",
        ),
        (
            unroll(lstm(3, 4, peepholes="diagonal")),
            "to_linen: linen's lstm has no peepholes='diagonal', only None: no weights stand in for peepholes",
        ),
        (
            unroll(elman(3, 4, jnp.sin)),
            f"to_linen: linen's elman has no activation={jnp.sin!r}, only 'tanh', 'relu', 'sigmoid', 'identity'",
        ),
    ],
    ids=["stack", "dropout", "last", "last in a direction", "gru before", "peepholes", "activation"],
)
def test_what_linen_cannot_compute_is_refused(layer, message):
    refused(message, to_linen, layer, made(layer))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (nn.SimpleCell(4, residual=True), "the cell has residual=True, which adds h inside; no cell here does"),
        (
            nn.GRUCell(4, activation_fn=nn.relu),
            f"the cell's functions are {(nn.sigmoid, nn.relu)}, wanted jax.nn.sigmoid and jnp.tanh",
        ),
        (
            nn.SimpleCell(4, activation_fn=jnp.sin),
            f"activation_fn is {jnp.sin}, wanted one of jax's tanh, relu, sigmoid",
        ),
        (
            nn.GRUCell(4, dtype=jnp.bfloat16),
            "the cell has float32 weights and computes in bfloat16, wanted one dtype",
        ),
        (
            nn.MGUCell(4),
            "module is MGUCell, wanted nn.RNN of one of SimpleCell, LSTMCell, OptimizedLSTMCell, GRUCell",
        ),
    ],
    ids=["residual", "functions", "activation", "precision", "mgu"],
)
def test_what_is_not_here_is_refused(cell, message):
    module = nn.RNN(cell)
    variables = jax.eval_shape(standard(module.init), jax.random.key(0), jnp.zeros((B, T, 3), jnp.float32))
    refused(f"from_linen: {message}", from_linen, module, randomized(0, variables))
