"""The vector of jax.experimental.rnn comes and goes; its own reference, which runs on any device, is the judge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from jaxrnn import batch_major, dropout, elman, length_mask, lstm, stack, unroll
from jaxrnn.interop import from_cudnn, to_cudnn

from .comparing import B, T, close, made, pulled, randomized, refused, same, standard

N_IN, N = 3, 4
SIZES = [(1, False), (2, True), *(pytest.param(*size, marks=pytest.mark.heavy) for size in [(2, False), (1, True)])]
sizes = pytest.mark.parametrize(("num_layers", "bidirectional"), SIZES)


def example(num_layers, bidirectional):
    """Random weights, xs, and the states [layers * directions, B, n]."""
    number = rnn.get_num_params_in_lstm(N_IN, N, num_layers, bidirectional)
    states = np.zeros((2, num_layers * (1 + bidirectional), B, N))
    return randomized(0, (np.zeros(number), np.zeros((B, T, N_IN)), states))


def reference(num_layers, bidirectional):
    """f(weights, states, xs, lengths) -> (ys, states)"""

    def f(weights, states, xs, lengths):
        parts = rnn.unpack_lstm_weights(weights, N_IN, N, num_layers, bidirectional)
        ys, *after = rnn.lstm_ref(xs, *states, *parts, lengths, N_IN, N, num_layers, 0.0, bidirectional)
        return ys, jnp.stack(after)

    return standard(f)


def as_carry(layer, states):
    """Their states as our carry."""
    leaves = [states[k, i] for i in range(states.shape[1]) for k in range(2)]
    return jax.tree.structure(layer.carry((B,))).unflatten(leaves)


def as_states(carry):
    leaves = jax.tree.leaves(carry)
    return jnp.stack([jnp.stack(leaves[k::2]) for k in range(2)])


@sizes
def test_values_and_gradients_are_those_of_its_reference(num_layers, bidirectional):
    weights, xs, states = example(num_layers, bidirectional)
    layer, params = from_cudnn(weights, N_IN, N, num_layers, bidirectional)
    f = reference(num_layers, bidirectional)
    values, pull = jax.vjp(lambda *a: f(*a, jnp.full(B, T, jnp.int32)), weights, states, xs)
    d_ys, d_after = randomized(2, values)
    d_weights, d_states, d_xs = pull((d_ys, d_after))

    carry = as_carry(layer, states)
    (after, ys), d_params, (d_carry, d_our_xs) = pulled(layer, params, carry, xs, d_ys, as_carry(layer, d_after))
    close((ys, as_states(after)), values, "values")
    close((as_states(d_carry), d_our_xs), (d_states, d_xs), "gradients")
    ours, theirs = (
        rnn.unpack_lstm_weights(a, N_IN, N, num_layers, bidirectional)[:3]  # b_hh has the gradient of b_ih
        for a in (to_cudnn(layer, d_params), d_weights)
    )
    close(ours, theirs, "gradients of the weights")


def test_lengths_are_a_mask():
    weights, xs, states = example(2, True)
    layer, params = from_cudnn(weights, N_IN, N, 2, True)
    lengths = jnp.array([T, 2], jnp.int32)
    carry, ys = layer.apply(params, as_carry(layer, states), xs, mask=length_mask(lengths, T).T)
    close((ys, as_states(carry)), reference(2, True)(weights, states, xs, lengths))


@sizes
def test_the_round_trip_is_exact(num_layers, bidirectional):
    weights, *_ = example(num_layers, bidirectional)
    ours = from_cudnn(weights, N_IN, N, num_layers, bidirectional)
    there = to_cudnn(*ours)
    assert there.dtype == np.float32
    same(from_cudnn(there, N_IN, N, num_layers, bidirectional), ours)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (unroll(lstm(3, 4)), "to_cudnn: rnn.lstm has the batch first, wanted batch_major(layer)"),
        (batch_major(unroll(elman(3, 4))), "to_cudnn: cuDNN has no elman; it has lstm"),
        (
            batch_major(unroll(lstm(3, 4, peepholes="full"))),
            "to_cudnn: cuDNN's lstm has no peepholes='full', only None: no weights stand in for peepholes",
        ),
        (
            batch_major(stack(unroll(lstm(3, 4)), dropout(0.5), unroll(lstm(4, 4)))),
            "to_cudnn: the layer has dropout, which no weights carry; rnn.lstm takes it as an argument",
        ),
        (
            batch_major(stack(unroll(lstm(3, 4)), unroll(lstm(4, 5)))),
            "to_cudnn: layer 1 has n 5, and cuDNN would have 4 there",
        ),
    ],
)
def test_what_cudnn_cannot_compute_is_refused(layer, message):
    refused(message, to_cudnn, layer, made(layer))


def test_float64_is_refused():
    layer = batch_major(unroll(lstm(3, 4)))
    refused("to_cudnn: params are float64, wanted float32", to_cudnn, layer, layer.init(jax.random.key(0)))


def test_a_vector_of_another_length_is_refused():
    message = "from_cudnn: weights is float32[7], wanted float32[144] for these sizes"
    refused(message, from_cudnn, jnp.zeros(7, jnp.float32), 3, 4)
