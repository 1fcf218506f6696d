"""Cells made of cells."""

# pyright: reportArgumentType=false
# Some of the mistakes are wrong types, which is the point.

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DERIVED, N_IN, B, N, T, close, loss, randomized

from jaxrnn import (
    CELLS,
    Policy,
    chrono,
    clip_gradient,
    elman,
    gru,
    initialize,
    learned_carry,
    lstm,
    mingru,
    unroll,
    variational_dropout,
    weight_drop,
    zoneout,
)
from jaxrnn.methods import serving

KEY = jax.random.key(3)
XS = jax.random.normal(jax.random.key(1), (T, B, N_IN))
MASK = jax.random.bernoulli(jax.random.key(4), 0.7, (T, B))
RESET = jax.random.bernoulli(jax.random.key(5), 0.4, (T, B))
WRAPPED = {
    "learned_carry": learned_carry(lstm(N_IN, N)),
    "learned_carry of linear": learned_carry(mingru(N_IN, N)),
    "zoneout": zoneout(lstm(N_IN, N), h=0.3, c=0.5),
    "variational_dropout": variational_dropout(gru(N_IN, N), inputs=0.2, recurrent=0.3, outputs=0.4),
    "both": zoneout(variational_dropout(lstm(N_IN, N), recurrent=0.3), h=0.3),
    "chrono": chrono(lstm(N_IN, N), 20),
}
wrapped = pytest.mark.parametrize("name", WRAPPED)


def arguments(layer):
    params = randomized(KEY, layer.init(KEY))
    return params, randomized(KEY, layer.carry((B,), params)), XS


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.heavy] * (name not in ("variational_dropout", "both"))) for name in WRAPPED],
)
def test_every_method_and_chunk_draws_the_same_noise(name):
    plain = unroll(WRAPPED[name], "scan")
    given = arguments(plain)
    wanted = jax.jit(lambda *a: plain.apply(*a, key=KEY, mask=MASK, reset=RESET))(*given)
    for method in serving(WRAPPED[name]):
        layer = unroll(WRAPPED[name], method, checkpoint=2)
        close(jax.jit(lambda *a, f=layer.apply: f(*a, key=KEY, mask=MASK, reset=RESET))(*given), wanted)


@wrapped
def test_derivatives_are_finite_and_reach_every_parameter(name):
    layer = unroll(WRAPPED[name])
    params, carry, xs = arguments(layer)
    grads = jax.jit(jax.grad(lambda p: loss(layer, p, carry, xs, MASK, RESET, KEY)))(params)
    assert all(leaf.any() and jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("make", [lstm, gru, elman], ids=lambda f: f.__name__)
def test_rates_of_zero_change_nothing(make):
    cell = make(N_IN, N)
    plain, other = unroll(cell), unroll(zoneout(variational_dropout(cell), h=0.0, c=0))
    given = arguments(plain)
    close(other.apply(*given, key=KEY), plain.apply(*given))


def test_a_learned_carry_is_where_a_batch_and_every_reset_start():
    layer = unroll(learned_carry(lstm(N_IN, N)))
    params, _, _ = arguments(layer)
    start = layer.carry((B,), params)
    close(start, jax.tree.map(lambda a: jnp.broadcast_to(a, (B, N)), params.start), 0)
    reset = jnp.zeros((T, B), bool).at[3].set(True)
    _, ys = layer.apply(params, start, XS, reset=reset)
    close(ys[3:], layer.apply(params, start, XS[3:])[1])


def test_zoneout_keeps_some_states_as_they_were_and_steps_the_others():
    cell = lstm(N_IN, N)
    layer, plain = unroll(zoneout(cell, h=0.5, c=0.5)), unroll(cell)
    params, carry, xs = arguments(plain)
    after, ys = layer.apply(params, carry, xs[:1], key=KEY)
    stepped, _ = plain.apply(params, carry, xs[:1])
    for name in ("h", "c"):
        got, old, new = (np.asarray(getattr(c, name)) for c in (after, carry, stepped))
        assert ((got == old) ^ (got == new)).all()
        assert (got == old).any()
        assert (got == new).any()
    close(ys[0], after.h, 0)


def test_zoneout_without_a_key_takes_the_expected_state():
    cell = gru(N_IN, N)
    params, carry, xs = arguments(unroll(cell))
    after, _ = unroll(zoneout(cell, h=0.25)).apply(params, carry, xs[:1])
    stepped, _ = unroll(cell).apply(params, carry, xs[:1])
    close(after.h, 0.25 * carry.h + 0.75 * stepped.h)


def test_variational_dropout_drops_the_same_outputs_at_every_step():
    layer = unroll(variational_dropout(elman(N_IN, 40), outputs=0.5))
    params, carry, xs = arguments(layer)
    _, ys = layer.apply(params, carry, xs, key=KEY)
    dropped = np.asarray(ys == 0)
    assert (dropped == dropped[0]).all()
    assert 0.2 < dropped.mean() < 0.8
    close(jnp.where(ys == 0, 0, layer.apply(params, carry, xs)[1] * 2), ys)


def test_variational_dropout_drops_the_same_states_at_every_step():
    cell = elman(1, 40, "identity")
    layer = unroll(variational_dropout(cell, recurrent=0.5))
    params = jax.tree.map(jnp.zeros_like, cell.init(KEY))._replace(w_h=jnp.eye(40))
    _, ys = layer.apply(params, cell.carry(())._replace(h=jnp.ones(40)), jnp.zeros((T, 1)), key=KEY)
    kept = np.asarray(ys[0] > 0)
    assert 0.2 < kept.mean() < 0.8
    close(ys, np.where(kept, 2.0 ** np.arange(1, T + 1)[:, None], 0))  # with fresh draws few would last T steps


def test_weight_drop_zeroes_and_scales_recurrent_weights_alone():
    seen = []
    layer = unroll(lstm(N_IN, N))
    spy = layer._replace(apply=lambda params, *a, **k: seen.append((params, k["key"])) or layer.apply(params, *a, **k))
    params, carry, xs = arguments(layer)
    weight_drop(spy, 0.5).apply(params, carry, xs, key=KEY)
    ((dropped, inner),) = seen
    close(dropped._replace(w_h=params.w_h), params, 0)
    assert ((dropped.w_h == 0) | jnp.isclose(dropped.w_h, 2 * params.w_h)).all()
    assert 0.2 < (dropped.w_h == 0).mean() < 0.8
    assert inner is not None
    close(weight_drop(layer, 0.5).apply(params, carry, xs), layer.apply(params, carry, xs), 0)


def test_clipping_bounds_what_flows_back_and_changes_no_value():
    cell = elman(N_IN, N, "identity")
    plain, clipped, loose = unroll(cell), unroll(clip_gradient(cell, 0.1)), unroll(clip_gradient(cell, 1e9))
    given = arguments(plain)
    close(clipped.apply(*given), plain.apply(*given), 0)
    back = jax.grad(lambda c, layer: 100 * layer.apply(given[0], c, XS)[1].sum(), argnums=0)
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(back(given[1], clipped))) <= 0.1
    close(back(given[1], loose), back(given[1], plain), DERIVED)


@pytest.mark.parametrize("name", ["lstm", "lstm_diagonal", "gru", "gru_article"])
def test_chrono_opens_the_gates_for_1_to_longest_steps(name):
    b = chrono(CELLS[name](N_IN, 200), 50).init(KEY).b
    keeps = -b[200:400] if name == "gru_article" else b[200:400]
    assert 0 <= keeps.min() < keeps.max() < np.log(49)
    if name.startswith("lstm"):
        close(b[:200], -b[200:400], 0)


def test_a_param_begins_as_it_is_told_gate_by_gate():
    """Glorot's limit is that of one gate's [n_in, n], not of [n_in, 4n]; all else begins as it did."""
    asked, keys = [], set()

    def f(key, shape, dtype):
        asked.append(shape)
        keys.add(bytes(np.asarray(jax.random.key_data(key))))
        return jax.random.uniform(key, shape, dtype)

    cell = lstm(N_IN, N, "diagonal", policy=Policy(param=jnp.bfloat16))
    other = initialize(cell, w_x=f, peepholes=jax.nn.initializers.constant(0.5))
    before, after = cell.init(KEY), other.init(KEY)
    assert asked == [(N_IN, N)] * 4
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), before)
    close(after.peepholes, jax.tree.map(lambda a: jnp.full_like(a, 0.5), before.peepholes), 0)
    close(after.b, before.b, 0)
    assert len(keys) == 4
    assert other.spec == cell.spec


@pytest.mark.parametrize("param", [jnp.bfloat16, jnp.float32])
def test_orthogonal_of_jax_is_so_for_every_gate(param):
    cell = initialize(gru(N_IN, N, policy=Policy(param=param)), w_h=jax.nn.initializers.orthogonal())
    w_h = cell.init(KEY).w_h
    blocks = np.split(np.asarray(w_h, np.float64), 3, axis=1)
    close([block @ block.T for block in blocks], [np.eye(N)] * 3, 4 * float(jnp.finfo(param).eps))


MISTAKES = [
    (
        lambda: initialize(gru(3, 4), w_hh=jax.nn.initializers.zeros),
        "initialize has no param 'w_hh'; it has w_x, w_h, b, b_n",
    ),
    (
        lambda: initialize(lstm(3, 4), peepholes=jax.nn.initializers.zeros),
        "initialize has no param 'peepholes'; it has w_x, w_h, b",
    ),
    (
        lambda: initialize(gru(3, 4), b=0),
        "initialize: b is 0, wanted f(key, shape, dtype) such as jax.nn.initializers'",
    ),
    (lambda: zoneout(unroll(lstm(3, 4))), "zoneout: cell is a Layer, wanted a Cell such as lstm(n_in, n)"),
    (lambda: zoneout(CELLS["lru"](3, 4)), "zoneout: the cell's carry has re, im, wanted h among them"),
    (lambda: zoneout(lstm(3, 4), h=1), "zoneout: h is 1, wanted a number in [0, 1)"),
    (
        lambda: variational_dropout(CELLS["lru"](3, 4), recurrent=0.1),
        "variational_dropout: the cell's carry has no h, wanted one for recurrent > 0",
    ),
    (lambda: clip_gradient(lstm(3, 4), 0), "clip_gradient: limit is 0, wanted a number above 0"),
    (lambda: chrono(elman(3, 4), 10), "chrono: the cell is elman, wanted lstm or gru"),
    (lambda: chrono(lstm(3, 4), 2), "chrono: longest is 2, wanted a whole number of at least 3"),
    (lambda: weight_drop(lstm(3, 4), 0.5), "weight_drop: layer is a Cell, wanted a Layer; unroll(cell) makes one"),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_answered(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
