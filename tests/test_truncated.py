"""Truncated backpropagation against windows that are run one by one."""

# pyright: reportArgumentType=false
# Some of the mistakes are wrong types, which is the point.

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tiny import close, loss, randomized

from jaxrnn import bidirectional, dense, dropout, elman, embed, gru, last, stack, truncate, unroll

T, B, N_IN, N = 7, 2, 3, 4
LAYERS = {
    "unroll": unroll(gru(N_IN, N)),
    "stack": stack(unroll(elman(N_IN, N)), unroll(elman(N, 2)), dense(2, 3)),
}
layers = pytest.mark.parametrize("name", LAYERS)
NUMBERS = np.random.default_rng(0)
XS = jnp.asarray(NUMBERS.normal(size=(T, B, N_IN)))
MASK = jnp.asarray(NUMBERS.random((T, B)) < 0.8)
RESET = jnp.asarray(NUMBERS.random((T, B)) < 0.2)
WEIGHTS = jnp.asarray(NUMBERS.normal(size=(T, B, 4)))


@functools.cache
def prepared(name):
    layer = LAYERS[name]
    shapes = jax.eval_shape(lambda: (layer.init(jax.random.key(0)), layer.carry((B,))))
    return layer, *randomized(jax.random.key(1), shapes)


def weighed(layer, params, carry, xs, mask, reset, weights, with_carry):
    """(a scalar that every y enters, and every carry at the end of the last window; the carry to hand on)"""
    after, ys = layer.apply(params, carry, xs, mask=mask, reset=reset)
    total = jnp.sum(jnp.sin(ys) * weights[..., : ys.shape[-1]])
    return total + with_carry * sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(after)), after


@pytest.mark.parametrize(("name", "every"), [("unroll", 1), ("stack", 3), ("unroll", 7), ("unroll", 9)])
def test_the_gradient_is_the_sum_of_those_of_the_windows(name, every):
    layer, params, carry = prepared(name)
    of_window = jax.jit(jax.value_and_grad(functools.partial(weighed, layer), (0, 1, 2), has_aux=True))
    total, for_params, for_carry, for_xs, given = 0.0, None, None, [], carry
    for start in range(0, T, every):
        piece = (a[start : start + every] for a in (XS, MASK, RESET, WEIGHTS))
        (value, given), grads = of_window(params, given, *piece, float(start + every >= T))
        total = total + value
        for_params = grads[0] if for_params is None else jax.tree.map(jnp.add, for_params, grads[0])
        for_carry = grads[1] if start == 0 else for_carry
        for_xs.append(grads[2])
    whole = jax.jit(jax.value_and_grad(functools.partial(weighed, truncate(layer, every)), (0, 1, 2), has_aux=True))
    wanted = (total, given), (for_params, for_carry, jnp.concatenate(for_xs))
    close(whole(params, carry, XS, MASK, RESET, WEIGHTS, 1.0), wanted, 1e-10)


@layers
def test_values_are_those_of_the_layer(name):
    layer, params, carry = prepared(name)
    where = {"mask": MASK, "reset": RESET}
    close(truncate(layer, 3).apply(params, carry, XS, **where), layer.apply(params, carry, XS, **where))


@pytest.mark.parametrize("every", [1, 3])
def test_the_gradient_does_not_cross_a_boundary(every):
    layer, params, carry = prepared("unroll")
    cut = truncate(layer, every)
    jacobian = jax.jacobian(lambda xs: cut.apply(params, carry, xs)[1].sum((1, 2)))(XS)
    reaches = np.asarray(jacobian != 0).any((2, 3))
    window = np.arange(T) // every
    wanted = (window[:, None] == window) & np.tri(T, dtype=bool)
    np.testing.assert_array_equal(reaches, wanted)


def test_ids_and_one_sequence_without_a_batch():
    layer = stack(embed(5, N_IN), unroll(gru(N_IN, N)))
    params = layer.init(jax.random.key(0))
    ids, mask = jnp.array([1, 0, 4, 2, 2]), jnp.array([1, 1, 1, 1, 0], bool)
    one = truncate(layer, 2).apply(params, layer.carry(()), ids, mask=mask)
    close(one, layer.apply(params, layer.carry(()), ids, mask=mask))


@pytest.mark.parametrize("every", [2, 9])
def test_devices_that_share_a_batch_have_the_values_and_the_gradient_of_one(every):
    layer, params, _ = prepared("stack")
    cut = truncate(layer, every)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def ys(params, xs):
        return cut.apply(params, cut.carry((xs.shape[1],), params), xs)[1]

    shared = jax.jit(jax.shard_map(ys, mesh=mesh, in_specs=(P(), P(None, "data")), out_specs=P(None, "data")))
    one, two = (jax.vjp(f, params, XS) for f in (ys, shared))
    close(two[0], one[0])
    close(two[1](jnp.sin(one[0])), one[1](jnp.sin(one[0])), 1e-10)


def test_no_steps_at_all():
    layer, params, carry = prepared("unroll")
    close(truncate(layer, 2).apply(params, carry, XS[:0]), (carry, jnp.zeros((0, B, N))), 0)


def test_every_window_draws_noise_of_its_own():
    ys = truncate(dropout(0.5), 100).apply((), (), jnp.ones((250, 4)), key=jax.random.key(0))[1]
    assert (ys[:50] != ys[100:150]).any()
    assert (ys[:50] != ys[200:]).any()
    assert abs(np.mean(np.asarray(ys) > 0) - 0.5) < 0.1


def test_nan_in_padding_reaches_neither_loss_nor_gradients():
    layer, params, carry = prepared("stack")
    f = jax.jit(jax.value_and_grad(lambda p, xs: loss(truncate(layer, 3), p, carry, xs, MASK, RESET), (0, 1)))
    close(f(params, jnp.where(MASK[..., None], XS, jnp.nan)), f(params, jnp.where(MASK[..., None], XS, 0)))


GRU = LAYERS["unroll"]
MISTAKES = [
    (lambda: truncate(GRU, 0), "truncate: every is 0, wanted a whole number of at least 1"),
    (lambda: truncate(gru(N_IN, N), 2), "truncate: layer is a Cell, wanted a Layer; unroll(cell) makes one"),
    (
        lambda: truncate(last(GRU), 2),
        "truncate: layer has last(...), wanted one that reads from the start and gives a y a step",
    ),
    (
        lambda: truncate(bidirectional(GRU, unroll(gru(N_IN, N), reverse=True)), 2),
        "truncate: layer has bidirectional(...), wanted one that reads from the start and gives a y a step",
    ),
    (
        lambda: truncate(GRU, 2).apply(*prepared("unroll")[1:], XS, mask=MASK[:3]),
        "truncate: mask is bool[3, 2], wanted bool[7, 2], one a step and sequence as in x",
    ),
    (
        lambda: truncate(GRU, 2).apply(*prepared("unroll")[1:], XS, reset=1),
        "truncate: reset is 1, wanted bool[7, 2], one a step and sequence as in x; jnp.asarray(reset, bool) converts",
    ),
    (
        lambda: truncate(GRU, 2).apply(*prepared("unroll")[1:], XS, key=3),
        "truncate: key is 3, wanted jax.random.key(seed), or None for no noise",
    ),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_answered(call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert str(error.value) == message
