"""Keras's SimpleRNN, LSTM, GRU and Bidirectional come and go with their values, final states and every gradient."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import Policy, batch_major, bidirectional, gru, last, length_mask, lstm, unroll

from .comparing import B, T, close, made, pulled, randomized, refused, same

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="the extra `peers` brings Keras")
if keras.backend.backend() != "jax":
    pytest.skip("the gradients of Keras are taken with its jax backend", allow_module_level=True)

from jaxrnn.interop import from_keras, to_keras
from jaxrnn.interop.order import first, flipped

# Keras's own Variable.__array__ does not know the argument `copy` of NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

CELLS = {
    "simple": lambda **k: keras.layers.SimpleRNN(4, **k),
    "relu": lambda **k: keras.layers.SimpleRNN(4, activation="relu", **k),
    "linear": lambda **k: keras.layers.SimpleRNN(4, activation="linear", **k),
    "lstm": lambda **k: keras.layers.LSTM(4, **k),
    "gru_after": lambda **k: keras.layers.GRU(4, **k),
    "gru_before": lambda **k: keras.layers.GRU(4, reset_after=False, **k),
}
MODES = [(go, sequences) for go in (False, True) for sequences in (False, True)]
# One mode a cell: what picks and turns ys is the same for all.
RUNS = [(name, *MODES[k % 4], False) for k, name in enumerate(CELLS)]
RUNS += [(name, False, sequences, True) for name, sequences in (("lstm", True), ("gru_after", False))]
RUNS = [pytest.param(run, marks=[pytest.mark.heavy] * (run[0] in ("relu", "linear"))) for run in RUNS]
runs = pytest.mark.parametrize("run", RUNS, ids=lambda run: "-".join(map(str, run)))


def example(run):
    """A built Keras layer with random weights."""
    name, go_backwards, return_sequences, both = run
    options = {
        "return_sequences": return_sequences,
        "return_state": True,
        "dtype": "float32",
        "recurrent_initializer": "zeros",
    }
    if both:
        layer = keras.layers.Bidirectional(CELLS[name](**options))
    else:
        layer = CELLS[name](go_backwards=go_backwards, **options)
    layer.build((None, None, 3))
    layer.set_weights([np.asarray(w) for w in randomized(0, layer.get_weights())])
    return layer


@runs
def test_values_and_gradients_are_those_of_keras(run):
    theirs = example(run)
    layer, params = from_keras(theirs)
    xs, carry = randomized(1, (np.zeros((B, T, 3)), layer.carry((B,), params)))
    fixed = [v.value for v in theirs.non_trainable_variables]

    def f(weights, states, xs):
        with jax.numpy_dtype_promotion("standard"):
            (ys, *after), _ = theirs.stateless_call(weights, fixed, xs, initial_state=states)
        return ys, list(after)

    values, pull = jax.vjp(f, [v.value for v in theirs.trainable_variables], jax.tree.leaves(carry), xs)
    d_ys, d_states = randomized(2, values)
    d_weights, d_before, d_xs = pull((d_ys, d_states))
    d_carry = jax.tree.unflatten(jax.tree.structure(carry), d_states)
    (after, ys), d_params, (d_ours, d_our_xs) = pulled(layer, params, carry, xs, d_ys, d_carry)

    close((ys, jax.tree.leaves(after)), values, "values")
    close((jax.tree.leaves(d_ours), d_our_xs), (d_before, d_xs), "gradients")
    for ours, theirs in zip(to_keras(layer, d_params).get_weights(), d_weights, strict=True):
        if ours.ndim == 2 and ours.shape[0] == 2:  # [b_ih, b_hh] of a GRU: only the last block of b_hh stands apart
            close((ours[0], ours[1, 8:]), (theirs[0], theirs[1, 8:]))
        else:
            close(ours, theirs)


@runs
def test_the_round_trip_is_exact(run):
    theirs = example(run)
    ours = from_keras(theirs)
    there = to_keras(*ours)
    same(from_keras(there), ours)
    layers = [there] if not run[3] else [there.forward_layer, there.backward_layer]
    assert [layer.return_sequences for layer in layers] == [run[2]] * len(layers)
    assert [layer.go_backwards for layer in layers] == ([False, True] if run[3] else [run[1]])


@pytest.mark.parametrize("both", [False, True])
def test_the_last_state_under_a_mask_is_that_of_keras(both):
    theirs = example(("lstm", False, False, both))
    layer, params = from_keras(theirs)
    xs = randomized(1, np.zeros((B, T, 3)))
    mask = length_mask(jnp.array([T, 2]), T).T
    with jax.numpy_dtype_promotion("standard"):
        ys, *after = theirs(xs, mask=mask)
    carry, ours = layer.apply(params, layer.carry((B,), params), xs, mask=mask)
    close([ours, *jax.tree.leaves(carry)], [ys, *after])


def test_a_layer_without_bias_has_zeros_here():
    theirs = keras.layers.GRU(4, use_bias=False, dtype="float64")
    theirs.build((None, None, 3))
    layer, params = from_keras(theirs)
    assert layer.spec == batch_major(last(unroll(gru(3, 4)))).spec
    assert not params.b.any()
    assert not params.b_n.any()


MANY = jaxrnn.stack(unroll(lstm(3, 4)), unroll(lstm(4, 4)))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (unroll(lstm(3, 4)), "to_keras: Keras has the batch first, wanted batch_major(layer)"),
        (batch_major(MANY), "to_keras: the layer is a stack of 2, and Keras's is single; convert each"),
        (
            batch_major(unroll(lstm(3, 4), reverse=True)),
            "to_keras: reverse=True gives all ys, wanted flipped or first as Keras has them",
        ),
        (
            batch_major(bidirectional(last(unroll(lstm(3, 4))), last(unroll(lstm(3, 4), reverse=True)))),
            "to_keras: the directions give last and last ys, wanted all, or last and first",
        ),
        (
            batch_major(unroll(gru(3, 4, form="article"))),
            "to_keras: Keras's gru has no form='article', only 'after', 'before': the article's own GRU, where r "
            "weighs the input, is no other's",
        ),
        (
            batch_major(unroll(lstm(3, 4, peepholes="full"))),
            "to_keras: Keras's lstm has no peepholes='full', only None: no weights stand in for peepholes",
        ),
        (
            batch_major(unroll(lstm(3, 4, policy=Policy(param=jnp.float32, compute=jnp.bfloat16)))),
            "to_keras: the layer computes in bfloat16, float32, and Keras's is all float32 or all float64",
        ),
    ],
)
def test_what_keras_cannot_compute_is_refused(layer, message):
    refused(message, to_keras, layer, made(layer))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: keras.layers.Dense(2, name="a"),
            "layer is a Dense, wanted a SimpleRNN, LSTM or GRU, or a Bidirectional of them",
        ),
        (
            lambda: keras.layers.LSTM(2, name="a", dropout=0.5),
            "a has dropout, which has no place in a layer here; make it without",
        ),
        (
            lambda: keras.layers.LSTM(2, name="a", kernel_regularizer="l2"),
            "a has kernel_regularizer, which has no place in a layer here; make it without",
        ),
        (
            lambda: keras.layers.GRU(2, name="a", stateful=True),
            "a is stateful, wanted stateful=False: here the carry is handed on",
        ),
        (
            lambda: keras.layers.GRU(2, name="a", dtype="mixed_bfloat16"),
            "a has float32 weights and computes in bfloat16, wanted all float32 or all float64",
        ),
        (
            lambda: keras.layers.GRU(2, name="a", activation="relu"),
            "a has activations relu and sigmoid, wanted tanh and sigmoid",
        ),
        (
            lambda: keras.layers.SimpleRNN(2, name="a", activation="gelu"),
            "a has activation gelu, wanted one of tanh, relu, sigmoid, linear",
        ),
        (
            lambda: keras.layers.Bidirectional(keras.layers.GRU(2), name="a", merge_mode="sum"),
            "a has merge_mode='sum', wanted 'concat'",
        ),
    ],
)
def test_what_is_not_here_is_refused(make, message):
    layer = make()
    layer.build((2, 5, 3))
    refused(f"from_keras: {message}", from_keras, layer)


def test_a_layer_without_weights_is_refused():
    message = "from_keras: a has no weights yet; layer.build((None, None, n_in)) makes them"
    refused(message, from_keras, keras.layers.LSTM(2, name="a"))


@pytest.mark.parametrize("order", [first, flipped])
def test_the_order_of_ys_under_a_mask_and_for_no_steps(order):
    layer = order(unroll(lstm(3, 4), reverse=True))
    params = made(layer)
    xs, carry = randomized(1, (np.zeros((T, 3, 3)), layer.carry((3,), params)))
    mask = jnp.array([[0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
    _, all_ys = unroll(lstm(3, 4), reverse=True).apply(params, carry, xs, mask=mask)
    _, ys = layer.apply(params, carry, xs, mask=mask)
    wanted = {"first": jnp.stack([all_ys[1, 0], all_ys[0, 1], jnp.zeros_like(ys[-1, -1], shape=4)])}
    np.testing.assert_array_equal(ys, wanted.get(order.__name__, all_ys[::-1]))
    assert not layer.apply(params, carry, xs[:0])[1].any()
