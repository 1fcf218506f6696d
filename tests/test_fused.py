"""The method `fused`: what stands in its loops, what it costs in memory, and wrapped cells under it."""

import functools
import math
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import jaxprs_in_params
from tiny import N_IN, B, N, T, close, example, loss

from jaxrnn import (
    CELLS,
    Cell,
    Policy,
    attend,
    bind,
    chrono,
    clip_gradient,
    learned_carry,
    lstm,
    unroll,
    variational_dropout,
    zoneout,
)
from jaxrnn.methods import auto, serving

WRAPPED = {
    "learned_carry": lambda: learned_carry(CELLS["gru"](N_IN, N)),
    "zoneout": lambda: zoneout(lstm(N_IN, N)),
    "variational_dropout": lambda: variational_dropout(lstm(N_IN, N), 0.2, 0.3, 0.4),
    "clip_gradient": lambda: clip_gradient(lstm(N_IN, N), 0.1),
    "chrono": lambda: chrono(lstm(N_IN, N), 10),
    "twice": lambda: zoneout(learned_carry(zoneout(CELLS["lstm_diagonal"](N_IN, N)))),
}
EVERY = {**{name: lambda name=name: CELLS[name](N_IN, N) for name in CELLS}, **WRAPPED}
STEPS = 24


@pytest.fixture
def chunked(monkeypatch):
    """Chunks of 8 steps, as if sequences of 24 were long."""
    module = sys.modules["jaxrnn.methods.fused"]
    monkeypatch.setattr(module, "CACHED", 0)
    monkeypatch.setattr(module, "ROWS", 8 * B)


def products(jaxpr, in_loop=False, times=1):
    """(products in the innermost loops as written, multiplications of all products as run)."""
    written = run = 0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            written += in_loop
            run += (
                times
                * math.prod(eqn.outvars[0].aval.shape)
                * math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
            )
        inner = list(jaxprs_in_params(eqn.params))
        if eqn.primitive.name == "scan":
            innermost = not any(e.primitive.name == "scan" for e in every_eqn(inner[0]))
            w, r = products(inner[0], innermost, times * eqn.params["length"])
            written, run = written + w, run + r
        else:
            for each in inner:
                w, r = products(each, in_loop, times)
                written, run = written + w, run + r
    return written, run


def every_eqn(jaxpr):
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from every_eqn(inner)


@pytest.mark.parametrize("name", EVERY)
def test_loops_hold_twice_the_steps_products_and_nothing_is_computed_again(name, chunked):
    cell = EVERY[name]()
    layer = unroll(cell, "fused")
    params = jax.eval_shape(layer.init, jax.random.key(0))
    carry = jax.eval_shape(lambda params: layer.carry((B,), params), params)
    xs = jax.ShapeDtypeStruct((STEPS, B, N_IN), jnp.float64)
    key = jax.random.key(0)
    us = jax.eval_shape(lambda params, xs: cell.project(params, xs), params, xs)
    moment = jax.tree.map(lambda u: jax.ShapeDtypeStruct(u.shape[1:], u.dtype), us)
    forward = jax.make_jaxpr(lambda *args: layer.apply(*args, key=key))(params, carry, xs)
    in_step = products(jax.make_jaxpr(cell.step)(params, carry, moment).jaxpr, True)[0]
    training = jax.make_jaxpr(jax.grad(lambda *args: loss(layer, *args, key=key), (0, 1, 2)))(params, carry, xs)
    in_loops, run = products(training.jaxpr)
    assert in_loops == 2 * in_step
    assert run <= 1.05 * 3 * products(forward.jaxpr)[1]


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("elman", [1]),  # h, which is its tanh
        ("lstm", [1, 1, 1, 4]),  # h, c and its tanh, the gates' tanh
        ("gru", [1, 1, 1, 2]),  # h, n's tanh and its part of h W_h, r and z together
    ],
)
def test_the_loop_keeps_each_array_once_and_no_more_than_the_derivative_reads(name, widths):
    layer = unroll(CELLS[name](N_IN, N), "fused")
    params = layer.init(jax.random.key(0))
    xs = jnp.zeros((STEPS, B, N_IN))
    pulled = jax.make_jaxpr(lambda p, xs: jax.vjp(lambda p: layer.apply(p, layer.carry((B,)), xs)[1], p))(params, xs)
    loop = next(eqn for eqn in every_eqn(pulled.jaxpr) if eqn.primitive.name == "scan")
    kept = [v.aval.shape for v in loop.outvars if v.aval.shape[0] == STEPS]
    assert sorted(kept) == [(STEPS, B, width * N) for width in widths]


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_it_equals_scan_with_noise(name):
    """Unwrapped it does so by the column `grad` of transformations.py."""
    cell = WRAPPED[name]()
    e = example("lstm")
    params = cell.init(jax.random.key(0))
    carry = cell.carry((B,), params)
    key = jax.random.key(3)

    def both(method):
        layer = unroll(cell, method)
        f = jax.value_and_grad(lambda p, c, xs: loss(layer, p, c, xs, e.mask, e.reset, key), (0, 1, 2))
        return jax.jit(f)(params, carry, e.xs)

    close(both("fused"), both("scan"), 1e-10)


@pytest.mark.parametrize("place", ["inputs", "outputs"])
@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_low_precision_with_dropout_equals_scan(name, place):
    """A choice times a number: the product takes the dtype of what it scales, also under strict promotion."""
    cell = variational_dropout(CELLS[name](N_IN, N, policy=Policy(compute=jnp.bfloat16)), **{place: 0.2})
    params = cell.init(jax.random.key(0))
    xs, mask, key = jnp.ones((T, B, N_IN)), jnp.ones((T, B), bool), jax.random.key(1)

    def gradients(method):
        layer = unroll(cell, method)
        ys = functools.partial(layer.apply, carry=layer.carry((B,), params), xs=xs, key=key, mask=mask)
        return jax.grad(lambda p: ys(p)[1].astype(jnp.float64).sum())(params)

    close(gradients("fused"), gradients("scan"), 0.05)


@pytest.mark.parametrize("T", [STEPS, STEPS + 1])
def test_a_long_sequence_in_chunks_equals_scan(T, chunked):
    layer, plain = unroll(lstm(N_IN, N), "fused"), unroll(lstm(N_IN, N), "scan")
    xs = jax.random.normal(jax.random.key(0), (T, B, N_IN))
    params = layer.init(jax.random.key(1))
    f, g = (
        jax.jit(jax.value_and_grad(lambda p, x, la=la: loss(la, p, la.carry((B,)), x), (0, 1))) for la in (layer, plain)
    )
    close(f(params, xs), g(params, xs), 1e-10)


@pytest.mark.parametrize("batch", [(), (B,), (2, 3)], ids=str)
def test_on_one_device_time_and_batch_are_one_axis_of_every_product(batch, monkeypatch):
    e = example("lstm_projected", batch)

    def gradients():
        layer = unroll(e.cell, "fused")
        f = jax.grad(lambda p, c, xs: loss(layer, p, c, xs, e.mask, e.reset), (0, 1, 2))
        return f(e.params, e.carry, e.xs), jax.make_jaxpr(f)(e.params, e.carry, e.xs).jaxpr

    spread, _ = gradients()
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    merged, jaxpr = gradients()
    close(merged, spread, 1e-10)
    dots = [eqn for eqn in every_eqn(jaxpr) if eqn.primitive.name == "dot_general"]
    assert all(len(eqn.params["dimension_numbers"][0][0]) == 1 for eqn in dots)


def test_attention_gives_x_its_gradient():
    cell = attend(CELLS["gru"](N_IN + 5, N), "additive", 5)
    params = bind(cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (3, B, 5)))
    e = example("gru")
    f = jax.value_and_grad(lambda p, xs, method: loss(unroll(cell, method), p, e.carry, xs, e.mask, e.reset), (0, 1))
    close(f(params, e.xs, "fused"), f(params, e.xs, "scan"), 1e-10)


def test_a_weight_closed_over_has_its_gradient():
    xs = example("gru").xs

    def f(w, method):
        def step(p, c, u):
            h = jnp.tanh(c @ w + u)
            return h, h

        cell = Cell(lambda key: (), lambda shape, params=None: jnp.zeros((*shape, 3)), lambda p, xs, key=None: xs, step)
        return loss(unroll(cell, method), (), jnp.ones((B, 3)), xs)

    w = jax.random.normal(jax.random.key(0), (3, 3))
    close(jax.jit(jax.grad(f), static_argnums=1)(w, "fused"), jax.grad(f)(w, "scan"), 1e-10)


def test_a_backward_rule_of_the_users_own_is_obeyed():
    cell = CELLS["elman"](N_IN, N)

    @jax.custom_vjp
    def doubled(h):
        return h

    doubled.defvjp(lambda h: (h, None), lambda _, g: (2 * g,))
    strange = cell._replace(step=lambda p, c, u: cell.step(p, c._replace(h=doubled(c.h)), u))
    params = cell.init(jax.random.key(0))
    e = example("elman")
    f = jax.value_and_grad(lambda p, method: loss(unroll(strange, method), p, e.carry, e.xs))
    close(f(params, "fused"), f(params, "scan"), 1e-10)


def _batched_weight(p, c, u):
    h = jnp.tanh(u @ p[:3] + (c[None] @ p[3:])[0])
    return h, h


def _one_input_for_all(p, c, u):
    h = jnp.tanh(c @ p[3:] + (u @ p[:3])[0])
    return h, h


def _chosen(p, c, u):
    h = jnp.where(u[..., :1] > 0, jnp.tanh(c @ p[3:]) + u.sum(), c)
    return h, jnp.where(True, h, 0)


def _nothing_kept(p, c, u):
    return c * 0.5 + u @ p[:3], c


def _gathered(p, c, u):
    h = jnp.tanh(c @ p[3:] + p[jnp.argmax(u, -1)] * u[..., :1])
    return h, h


STEPS_OF_ONES_OWN = [_batched_weight, _one_input_for_all, _chosen, _nothing_kept, _gathered]


@pytest.mark.parametrize("step", STEPS_OF_ONES_OWN, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "batch", [pytest.param(B, id="B"), pytest.param(T, marks=pytest.mark.heavy, id="as many sequences as steps")]
)
def test_a_step_of_ones_own_equals_scan(step, batch):
    def project(params, xs, key=None):
        return xs[:, :1] if step is _one_input_for_all else xs

    p, c, xs = (jax.random.normal(jax.random.key(k), s) for k, s in enumerate([(7, 4), (batch, 4), (T, batch, 3)]))
    cell = Cell(lambda key: jnp.zeros((7, 4)), lambda shape, params=None: jnp.zeros((*shape, 4)), project, step)
    f = jax.value_and_grad(lambda *a, method: loss(unroll(cell, method), *a), (0, 1, 2))
    close(f(p, c, xs, method="fused"), f(p, c, xs, method="scan"), 1e-10)


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
@pytest.mark.parametrize("name", ["lstm", "gru", "mingru"])
def test_every_method_lowers_for_accelerators(name, platform):
    e = example(name)
    for method in serving(e.cell):
        traced = jax.jit(jax.grad(functools.partial(loss, unroll(e.cell, method)), (0, 1, 2))).trace(*e.arguments)
        assert "stablehlo.dot_general" in traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("method", ["scan", "fused"])
def test_checkpoints_bound_memory(method):
    T, B, n = 32768, 8, 128
    with jax.enable_x64(False):
        layer = unroll(lstm(n, n), method, checkpoint="sqrt")
        params = jax.eval_shape(layer.init, jax.random.key(0))
        xs = jax.ShapeDtypeStruct((T, B, n), jnp.float32)

        def last(params, xs):
            return sum(jnp.sum(c**2) for c in layer.apply(params, layer.carry((B,), params), xs)[0])

        compiled = jax.jit(jax.grad(last)).lower(params, xs).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes <= 64 * 2**20


def test_auto_leaves_cells_that_attend_to_scan_wrapped_or_not():
    attentive = attend(CELLS["gru"](N_IN + 5, N), "additive", 5)
    assert auto(attentive) == auto(learned_carry(attentive)) == "scan"
    assert auto(zoneout(lstm(N_IN, N))) == "fused"
