"""Haiku's VanillaRNN, LSTM and GRU come and go with their values, final states and every gradient."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import batch_major, bidirectional, elman, gru, lstm, unroll

from .comparing import B, T, agree, close, made, randomized, refused

hk = pytest.importorskip("haiku", reason="the extra `peers` brings Haiku")

from jaxrnn.interop import from_haiku, to_haiku

CORES = {
    "vanilla": lambda: hk.VanillaRNN(4),
    "single": lambda: hk.VanillaRNN(4, double_bias=False),
    "lstm": lambda: hk.LSTM(4),
    "gru": lambda: hk.GRU(4),
}
cores = pytest.mark.parametrize("name", CORES)


def unrolled(core):
    """f(params, state, xs) -> (state, ys)"""

    def f(xs, state):
        return hk.dynamic_unroll(core(), xs, state)[::-1]

    transformed = hk.without_apply_rng(hk.transform(f))
    return lambda params, state, xs: transformed.apply(params, xs, state)


def example(name):
    """(core's class, its random params, xs)."""
    w, b = np.zeros((3, 4)), np.zeros(4)
    params = {
        "lstm": {"lstm/linear": {"w": np.zeros((7, 16)), "b": np.zeros(16)}},
        "gru": {"gru": {"w_i": np.zeros((3, 12)), "w_h": np.zeros((4, 12)), "b": np.zeros(12)}},
        "vanilla": {"vanilla_rnn/linear": {"w": w, "b": b}, "vanilla_rnn/linear_1": {"w": np.zeros((4, 4)), "b": b}},
        "single": {"vanilla_rnn/linear": {"w": w, "b": b}, "vanilla_rnn/linear_1": {"w": np.zeros((4, 4))}},
    }[name]
    kind = {"lstm": hk.LSTM, "gru": hk.GRU}.get(name, hk.VanillaRNN)
    return kind, randomized(0, params), randomized(1, np.zeros((T, B, 3)))


def as_carry(carry):
    return hk.LSTMState(carry.h, carry.c) if len(carry) == 2 else carry.h


@cores
def test_values_and_gradients_are_those_of_haiku(name):
    kind, weights, xs = example(name)
    layer, params = from_haiku(kind, weights)
    carry = randomized(3, layer.carry((B,), params))

    def convert(gradients):
        _, there = to_haiku(layer, gradients)
        if name == "lstm":  # the 1 that Haiku adds to b_f is no part of a gradient
            there["lstm/linear"]["b"] = there["lstm/linear"]["b"] + np.float32(1) * (np.arange(16) // 4 == 2)
            there["lstm/linear"]["b"] = there["lstm/linear"]["b"].astype(np.float32)
        if name == "vanilla":
            there["vanilla_rnn/linear_1"]["b"] = there["vanilla_rnn/linear"]["b"]
        if name == "single":
            del there["vanilla_rnn/linear_1"]["b"]
        return there

    agree(layer, params, carry, xs, unrolled(CORES[name]), weights, convert, as_carry)


@cores
def test_what_goes_there_is_the_same_function(name):
    kind, weights, xs = example(name)
    layer, params = from_haiku(kind, weights)
    core, there = to_haiku(layer, params)
    carry = randomized(3, layer.carry((B,), params))
    after, ys = layer.apply(params, carry, xs)
    with_theirs = unrolled(core)(there, as_carry(carry), xs)
    close((as_carry(after), ys), with_theirs)


@cores
def test_the_round_trip_is_exact_but_for_one_rounding(name):
    """Haiku keeps b_f less 1: (b_f - 1) + 1 is b_f to the rounding of float32. All else comes back bit for bit."""
    kind, weights, _ = example(name)
    layer, params = from_haiku(kind, weights)
    other, others = from_haiku(*to_haiku(layer, params))
    assert other.spec == layer.spec
    exact = np.arange(16) // 4 != 1 if name == "lstm" else slice(None)
    np.testing.assert_array_equal(others.w_x, params.w_x)
    np.testing.assert_array_equal(others.w_h, params.w_h)
    np.testing.assert_array_equal(others.b[exact], params.b[exact])
    np.testing.assert_allclose(others.b, params.b, rtol=0, atol=2e-7)


ALONE = "to_haiku: Haiku has the cell alone, without direction or axes; wanted unroll(cell)"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (batch_major(unroll(lstm(3, 4))), ALONE),
        (unroll(lstm(3, 4), reverse=True), ALONE),
        (
            bidirectional(unroll(lstm(3, 4)), unroll(lstm(3, 4), reverse=True)),
            "to_haiku: Haiku's layer has one direction; convert those of bidirectional(...) each",
        ),
        (
            unroll(gru(3, 4)),
            "to_haiku: Haiku's gru has no form='after', only 'before': reset before or after the product are different "
            "functions, and no weights turn one into the other",
        ),
        (unroll(elman(3, 4)), "to_haiku: Haiku's elman has no activation='tanh', only 'relu'"),
        (
            unroll(lstm(3, 4, peepholes="diagonal")),
            "to_haiku: Haiku's lstm has no peepholes='diagonal', only None: no weights stand in for peepholes",
        ),
    ],
)
def test_what_haiku_cannot_compute_is_refused(layer, message):
    refused(message, to_haiku, layer, made(layer))


def test_what_is_not_here_is_refused():
    refused(f"from_haiku: core is {hk.Linear}, wanted hk.VanillaRNN, hk.LSTM or hk.GRU", from_haiku, hk.Linear, {})
    two = {"a": {"w": jnp.ones(1)}, "b": {"w": jnp.ones(1)}}
    core = functools.partial(hk.LSTM, 4)
    refused("from_haiku: params has modules a, b, wanted the 1 of one LSTM", from_haiku, core, two)
