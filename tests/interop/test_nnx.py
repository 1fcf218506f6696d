"""NNX's RNN and Bidirectional come and go with their values, final states and every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import elman, gru, last, lstm, stack, unroll

from .comparing import B, T, agree, made, randomized, refused, same

pytest.importorskip("flax", reason="the extra `peers` brings Flax")

from flax import nnx

from jaxrnn.interop import from_nnx, to_nnx

CELLS = {
    "simple": lambda rngs: nnx.SimpleCell(3, 4, rngs=rngs),
    "relu": lambda rngs: nnx.SimpleCell(3, 4, activation_fn=nnx.relu, rngs=rngs),
    "lstm": lambda rngs: nnx.LSTMCell(3, 4, rngs=rngs),
    "optimized": lambda rngs: nnx.OptimizedLSTMCell(3, 4, rngs=rngs),
    "gru": lambda rngs: nnx.GRUCell(3, 4, rngs=rngs),
}
MODULES = {
    "simple": lambda make: nnx.RNN(make("simple")),
    "relu": lambda make: nnx.RNN(make("relu"), time_major=True, reverse=True, keep_order=True),
    "lstm": lambda make: nnx.RNN(make("lstm"), time_major=True),
    "optimized": lambda make: nnx.RNN(make("optimized"), reverse=True),
    "gru": lambda make: nnx.RNN(make("gru"), time_major=True),
    "both": lambda make: nnx.Bidirectional(nnx.RNN(make("optimized")), nnx.RNN(make("optimized"))),
}
modules = pytest.mark.parametrize("name", MODULES)


def example(name):
    """(module with random weights, xs)."""
    with jax.numpy_dtype_promotion("standard"):
        module = MODULES[name](lambda cell: CELLS[cell](nnx.Rngs(0)))
    nnx.update(module, randomized(0, nnx.state(module, nnx.Param)))
    return module, randomized(1, np.zeros((T, B, 3) if module.time_major else (B, T, 3)))


def as_carry(carry):
    """NNX's (c, h), or h."""
    if isinstance(carry[0], tuple):
        return tuple(map(as_carry, carry))
    return (carry.c, carry.h) if len(carry) == 2 else carry.h


def weights(module):
    return nnx.state(module, nnx.Param)


@modules
def test_values_and_gradients_are_those_of_nnx(name):
    module, xs = example(name)
    layer, params = from_nnx(module)
    carry = randomized(3, layer.carry((B,), params))
    graph, given, rest = nnx.split(module, nnx.Param, ...)

    def theirs(given, carry, xs):
        return nnx.merge(graph, given, rest)(xs, initial_carry=carry, return_carry=True)

    def convert(gradients):
        if name == "gru":  # that of b_n, which NNX does not have
            gradients = gradients._replace(b_n=jnp.zeros_like(gradients.b_n))
        there = weights(to_nnx(layer, gradients))
        return apart(there) if name == "lstm" else there  # comes as LSTMCell and goes as OptimizedLSTMCell

    agree(layer, params, carry, xs, theirs, given, convert, as_carry)


def apart(state):
    """The weights of an OptimizedLSTMCell in the places of an LSTMCell."""
    there, _ = example("lstm")
    cell = nnx.to_pure_dict(state)["cell"]
    for k, gate in enumerate(("i", "f", "g", "o")):
        block = slice(4 * k, 4 * k + 4)
        getattr(there.cell, f"i{gate}" + "_" * (gate == "f")).kernel[...] = cell["dense_i"]["kernel"][:, block]
        getattr(there.cell, f"h{gate}").kernel[...] = cell["dense_h"]["kernel"][:, block]
        getattr(there.cell, f"h{gate}").bias[...] = cell["dense_h"]["bias"][block]
    return weights(there)


@modules
def test_the_round_trip_is_exact(name):
    module, _ = example(name)
    ours = from_nnx(module)
    there = to_nnx(*ours)
    same(from_nnx(there), ours)
    kept = ("time_major",) if name == "both" else ("time_major", "reverse", "keep_order")
    assert [getattr(there, option) for option in kept] == [getattr(module, option) for option in kept]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            unroll(gru(3, 4)),
            "to_nnx: b_n is not zero, and NNX's GRUCell has no bias inside the product with r",
        ),
        (
            stack(unroll(lstm(3, 4)), unroll(lstm(4, 4))),
            "to_nnx: the layer is a stack of 2, and NNX's is single; convert each",
        ),
        (last(unroll(lstm(3, 4))), "to_nnx: the layer is under last(...), and NNX's gives all ys"),
        (
            unroll(gru(3, 4, form="before")),
            "to_nnx: NNX's gru has no form='before', only 'after': reset before or after the product are different "
            "functions, and no weights turn one into the other",
        ),
        (
            unroll(lstm(3, 4, peepholes="diagonal")),
            "to_nnx: NNX's lstm has no peepholes='diagonal', only None: no weights stand in for peepholes",
        ),
        (
            unroll(elman(3, 4, jnp.sin)),
            f"to_nnx: NNX's elman has no activation={jnp.sin!r}, only 'tanh', 'relu', 'sigmoid', 'identity'",
        ),
    ],
    ids=["bias", "stack", "last", "gru before", "peepholes", "activation"],
)
def test_what_nnx_cannot_compute_is_refused(layer, message):
    refused(message, to_nnx, layer, made(layer))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"residual": True}, "the cell has residual=True, which adds h inside; no cell here does"),
        ({"activation_fn": jnp.sin}, f"activation_fn is {jnp.sin}, wanted one of jax's tanh, relu, sigmoid"),
        ({"dtype": jnp.bfloat16}, "the cell has float32 weights and computes in bfloat16, wanted one dtype"),
    ],
    ids=["residual", "activation", "precision"],
)
def test_what_is_not_here_is_refused(options, message):
    with jax.numpy_dtype_promotion("standard"):
        module = nnx.RNN(nnx.SimpleCell(3, 4, rngs=nnx.Rngs(0), **options))
    refused(f"from_nnx: {message}", from_nnx, module)
