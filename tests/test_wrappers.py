"""Cells made of cells."""

# pyright: reportArgumentType=false
# Some of the mistakes are wrong types, which is the point.

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tiny import DERIVED, N_IN, B, N, T, close, loss, randomized

from jaxrnn import (
    CELLS,
    Policy,
    attend,
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
from jaxrnn.observer import gates_told
from jaxrnn.types import Cell, Keys

KEY = jax.random.key(3)
XS = jax.random.normal(jax.random.key(1), (T, B, N_IN))
MASK = jax.random.bernoulli(jax.random.key(4), 0.7, (T, B))
RESET = jax.random.bernoulli(jax.random.key(5), 0.4, (T, B))
WRAPPED = {
    "learned_carry": learned_carry(lstm(N_IN, N)),
    "learned_carry of linear": learned_carry(mingru(N_IN, N)),
    "zoneout": zoneout(lstm(N_IN, N), h=0.3, c=0.5),
    "variational_dropout": variational_dropout(gru(N_IN, N), inputs=0.2, recurrent=0.3, outputs=0.4),
    "recurrent dropout of two products": variational_dropout(gru(N_IN, N, "before"), recurrent=0.3),
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


@pytest.mark.parametrize("method", ["scan", "fused"])
@pytest.mark.parametrize("name", ["zoneout", "variational_dropout"])
def test_devices_that_share_all_but_a_key_draw_noise_of_their_own(name, method):
    layer = unroll(WRAPPED[name], method)
    params, carry, xs = arguments(layer)
    keys = jax.random.split(KEY)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def mine(params, keys):
        ys = layer.apply(params, carry, xs, key=keys[0])[1]
        return ys[None]

    shared = jax.jit(jax.shard_map(mine, mesh=mesh, in_specs=(P(), P("data")), out_specs=P("data")))
    each = jax.jit(jax.vmap(lambda params, key: layer.apply(params, carry, xs, key=key)[1], (None, 0)))
    one, two = (jax.vjp(lambda params, f=f: f(params, keys), params) for f in (each, shared))
    close(two[0], one[0])
    close(two[1](jnp.sin(one[0])), one[1](jnp.sin(one[0])), DERIVED)


def test_a_cell_without_noise_does_not_vary_as_its_key_does():
    layer = unroll(gru(N_IN, N))
    params, carry, xs = arguments(layer)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    shared = jax.shard_map(
        lambda keys: layer.apply(params, carry, xs, key=keys[0])[1], mesh=mesh, in_specs=P("data"), out_specs=P()
    )
    close(jax.jit(shared)(jax.random.split(KEY)), layer.apply(params, carry, xs)[1])


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


def stepped(cell, params, us):
    """ys of one sequence, which starts from no zeros."""
    carry = cell.carry((), params)
    carry = carry._replace(
        **randomized(KEY, {name: getattr(carry, name) for name in ("h", "c") if hasattr(carry, name)})
    )
    if hasattr(carry, "n"):  # an sLSTM's normaliser, and the unit that it and c are kept in
        carry = carry._replace(n=carry.n + 1, m=carry.m * 0)
    return jax.lax.scan(lambda carry, u: cell.step(params, carry, u), carry, us)[1]


WITHOUT_A_PRODUCT = ("indrnn", "lru", "mingru", "minlstm", "rglru")
AROUND = {
    "learned_carry of gru": lambda n_in, n: learned_carry(gru(n_in, n)),
    "of zoneout": lambda *n: zoneout(lstm(*n), h=0.5),
}
DROPPED = {**{name: make for name, make in CELLS.items() if name not in WITHOUT_A_PRODUCT}, **AROUND}


@pytest.mark.parametrize("name", DROPPED)
def test_recurrent_dropout_is_that_of_the_rows_of_w_h_and_of_nothing_else(name):
    """h * mask times W_h is h times the kept rows of W_h: so no state that a gate carries on is scaled or lost."""
    plain = DROPPED[name](N_IN, 3 * N)
    cell = variational_dropout(plain, recurrent=0.4)
    params = randomized(KEY, cell.init(KEY))
    us, kept, _ = cell.project(params, XS[:, 0], Keys(KEY, jax.random.split(KEY, T)))
    assert 0 < kept[0].sum() < kept[0].size
    inner = params.cell if name.startswith("learned") else params
    rows = inner._replace(w_h=jnp.where(kept[0][:, None], inner.w_h / 0.6, 0))
    dropped = params._replace(cell=rows) if inner is not params else rows
    close(stepped(cell, params, (us, kept, None)), stepped(plain, dropped, us))
    close(stepped(cell, params, (us, None, None)), stepped(plain, params, us), 0)


@pytest.mark.parametrize("batch", [(B,), (B, 3)], ids=str)
def test_recurrent_dropout_leaves_a_kept_state_as_it_is(batch):
    """z = 1 carries h on for ever: scaled at each step it would be 0 or 2^T."""
    layer = unroll(variational_dropout(gru(1, N), recurrent=0.5))
    params = jax.tree.map(jnp.zeros_like, layer.init(KEY))._replace(b=jnp.zeros(3 * N).at[N : 2 * N].set(90.0))
    ones = jax.tree.map(jnp.ones_like, layer.carry(batch))
    after, _ = layer.apply(params, ones, jnp.zeros((20, *batch, 1)), key=KEY)
    close(after, ones)


def test_recurrent_dropout_tells_the_gates_with_noise_too():
    cell = variational_dropout(gru(N_IN, N), recurrent=0.4)
    params = cell.init(KEY)
    us = cell.project(params, XS, Keys(KEY, jax.random.split(KEY, T)))
    with gates_told() as found:
        cell.step(params, cell.carry((B,)), jax.tree.map(lambda u: u[0], us))
    assert list(found) == ["n", "r", "z"]


def test_a_cell_of_ones_own_that_multiplies_no_state_is_refused_when_it_is_applied():
    slow = lstm(N_IN, N)._replace(step=lambda p, carry, u: (carry, carry.h), fast=None, spec=None)
    layer = unroll(variational_dropout(slow, recurrent=0.1))
    with pytest.raises(
        ValueError, match="variational_dropout: the cell multiplies its h by no matrix, wanted recurrent"
    ):
        layer.apply(*arguments(layer), key=KEY)


def test_output_dropout_and_attention_stand_around_zoneout():
    layer = unroll(variational_dropout(zoneout(lstm(N_IN, 40)), outputs=0.9))
    _, ys = layer.apply(*arguments(layer), key=KEY)
    assert 0.7 < (ys == 0).mean() < 1
    assert isinstance(attend(zoneout(gru(N_IN + 4, N)), "dot", 4), Cell)


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
    (
        lambda: zoneout(learned_carry(CELLS["slstm"](3, 4))),
        "zoneout: c is 0.1, wanted 0 for slstm, whose c is kept in a unit that changes at every step",
    ),
    (
        lambda: zoneout(learned_carry(variational_dropout(lstm(3, 4), outputs=0.9)), h=0.0, c=0.0),
        "zoneout: variational_dropout gives something else than h, wanted it around: "
        "variational_dropout(zoneout(cell), ...)",
    ),
    (
        lambda: zoneout(attend(gru(7, 5), "additive", 3)),
        "zoneout: attend gives something else than h, wanted it around: attend(zoneout(cell), ...)",
    ),
    (
        lambda: variational_dropout(attend(gru(7, 5), "additive", 3), recurrent=0.1),
        "variational_dropout: attend reads h before its cell does, wanted it around: attend(variational_dropout(cell, "
        "...), ...)",
    ),
    (
        lambda: variational_dropout(learned_carry(clip_gradient(gru(7, 5), 1)), recurrent=0.1),
        "variational_dropout: clip_gradient reads h before its cell does, wanted it around: clip_gradient(",
    ),
    *[
        (
            lambda name=name: variational_dropout(learned_carry(CELLS[name](3, 4)), recurrent=0.1),
            f"variational_dropout: {name} multiplies its h by no matrix, wanted recurrent=0",
        )
        for name in ("indrnn", "mingru", "minlstm", "rglru")
    ],
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
