"""The laws: what holds for every cell and every method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples import DERIVED, N_IN, B, N, T, close, example, loss
from jax.test_util import check_grads
from oracle import ORACLES, run

from jaxrnn import CELLS, METHODS, Policy, length_mask, unroll

cells = pytest.mark.parametrize("name", CELLS)
methods = pytest.mark.parametrize("method", METHODS)


@cells
@methods
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("batch", [(), (B,), (2, 3)], ids=["one", "batch", "batches"])
def test_equals_the_oracle(name, method, reverse, batch):
    e = example(name, batch)
    layer = unroll(e.cell, method, reverse)
    got = layer.apply(e.params, e.carry, e.xs, mask=e.mask, reset=e.reset)
    p = jax.tree.map(np.asarray, e.params)
    carry, ys = run(ORACLES[name], p, e.carry, e.xs, e.mask, e.reset, reverse=reverse)
    close(got, (type(e.carry)(*carry), ys))


@cells
def test_scan_has_right_derivatives_of_both_modes_and_orders(name):
    e = example(name)
    layer = unroll(e.cell, "scan")
    f = jax.jit(lambda *a: loss(layer, *a, mask=e.mask, reset=e.reset))
    check_grads(f, (e.params, e.carry, e.xs), order=2, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6, eps=1e-5)


@cells
@pytest.mark.parametrize("checkpoint", [3, "sqrt"])
@methods
def test_every_method_equals_scan_in_value_and_gradient(name, method, checkpoint):
    e = example(name)

    def both(layer):
        f = jax.value_and_grad(lambda *a: loss(layer, *a, mask=e.mask, reset=e.reset), (0, 1, 2))
        return jax.jit(f)(e.params, e.carry, e.xs)

    close(both(unroll(e.cell, method, checkpoint=checkpoint)), both(unroll(e.cell, "scan")), DERIVED)


@cells
@methods
def test_batch_equals_vmap(name, method):
    e = example(name)
    layer = unroll(e.cell, method)
    one = jax.vmap(lambda c, x, m, r: layer.apply(e.params, c, x, mask=m, reset=r), (0, 1, 1, 1), (0, 1))
    close(one(e.carry, e.xs, e.mask, e.reset), layer.apply(e.params, e.carry, e.xs, mask=e.mask, reset=e.reset))


@cells
@methods
def test_an_ensemble_of_params_equals_its_members(name, method):
    e = example(name)
    layer = unroll(e.cell, method)
    many = jax.tree.map(lambda a: jnp.stack([a, a / 2]), e.params)
    together = jax.vmap(layer.apply, (0, None, None))(many, e.carry, e.xs)
    alone = [layer.apply(jax.tree.map(lambda a: a[k], many), e.carry, e.xs) for k in range(2)]
    close(together, jax.tree.map(lambda *a: jnp.stack(a), *alone))


@cells
@methods
def test_a_sequence_equals_its_single_steps(name, method):
    e = example(name)
    layer = unroll(e.cell, method)
    carry, ys = e.carry, []
    for t in range(T):
        now = slice(t, t + 1)
        carry, y = layer.apply(e.params, carry, e.xs[now], mask=e.mask[now], reset=e.reset[now])
        ys.append(y)
    close((carry, jnp.concatenate(ys)), layer.apply(e.params, e.carry, e.xs, mask=e.mask, reset=e.reset))


@cells
@methods
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_a_padded_sequence_equals_the_shorter_one(name, method, reverse):
    e = example(name)
    layer = unroll(e.cell, method, reverse)
    carry, ys = layer.apply(e.params, e.carry, e.xs, mask=length_mask(jnp.full(B, 3), T))
    short = layer.apply(e.params, e.carry, e.xs[:3])
    close((carry, ys[:3]), short)
    assert not ys[3:].any()


@cells
@methods
def test_a_reset_starts_afresh(name, method):
    e = example(name)
    layer = unroll(e.cell, method)
    carry, ys = layer.apply(e.params, e.carry, e.xs, reset=jnp.arange(T)[:, None] == jnp.full((1, B), 2))
    fresh = layer.apply(e.params, layer.carry((B,), e.params), e.xs[2:])
    close((carry, ys[2:]), fresh)
    close(ys[:2], layer.apply(e.params, e.carry, e.xs[:2])[1])


@cells
@methods
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_nan_in_padding_reaches_neither_loss_nor_gradients(name, method, reverse):
    e = example(name)
    layer = unroll(e.cell, method, reverse)
    f = jax.jit(jax.value_and_grad(lambda *a: loss(layer, *a, mask=e.mask, reset=e.reset), (0, 1, 2)))
    with jax.debug_nans(False):
        dirty = f(e.params, e.carry, jnp.where(e.mask[..., None], e.xs, jnp.nan))
    close(dirty, f(e.params, e.carry, jnp.where(e.mask[..., None], e.xs, 0)))


@cells
@methods
def test_length_0_gives_the_carry_back(name, method):
    e = example(name)
    layer = unroll(e.cell, method)
    carry, ys = layer.apply(e.params, e.carry, e.xs, mask=length_mask(jnp.array([0, T]), T), reset=e.reset)
    close(jax.tree.map(lambda a: a[0], carry), jax.tree.map(lambda a: a[0], e.carry), 0)
    assert not ys[:, 0].any()


@cells
@methods
def test_no_steps_at_all_give_the_carry_back_with_its_gradient(name, method):
    e = example(name)
    layer = unroll(e.cell, method)
    none = e.xs[:0]
    carry, ys = layer.apply(e.params, e.carry, none, mask=e.mask[:0], reset=e.reset[:0], key=jax.random.key(0))
    close(carry, e.carry, 0)
    assert ys.shape == (0, B, N)
    grads = jax.grad(lambda p, c: loss(layer, p, c, none), (0, 1))(e.params, e.carry)
    assert not any(leaf.any() for leaf in jax.tree.leaves(grads[0]))


@cells
@methods
@pytest.mark.parametrize("policy", [Policy(), Policy(compute=jnp.bfloat16), Policy(param=jnp.bfloat16)], ids=str)
def test_the_carry_keeps_its_shape_and_dtype(name, method, policy):
    with jax.enable_x64(False):
        layer = unroll(CELLS[name](N_IN, N, policy=policy), method)
        params = layer.init(jax.random.key(0))
        before = layer.carry((B,), params)
        xs = jnp.ones((T, B, N_IN), jnp.float32)
        after, ys = layer.apply(params, before, xs, reset=jnp.zeros((T, B), bool))
    kinds = [(a.shape, a.dtype) for a in jax.tree.leaves(before)]
    assert kinds == [(a.shape, a.dtype) for a in jax.tree.leaves(after)]
    assert {dtype for _, dtype in kinds} == {jnp.dtype(jnp.float32)}
    assert ys.dtype == (policy.compute or jnp.float32)


@cells
@methods
@pytest.mark.parametrize("outer", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_the_second_call_does_not_trace_again(name, method, outer):
    e = example(name)
    traced = []

    def step(*arguments):
        traced.append(1)
        return e.cell.step(*arguments)

    layer = unroll(e.cell._replace(step=step), method)
    f = outer(lambda p, c, x: layer.apply(p, c, x))
    carry, _ = f(e.params, e.carry, e.xs)
    first = len(traced)
    f(e.params, carry, e.xs + 1)
    assert first > 0
    assert len(traced) == first


@cells
def test_the_default_dtype_follows_jax(name):
    for x64, wanted in ((False, jnp.float32), (True, jnp.float64)):
        with jax.enable_x64(x64):
            layer = unroll(CELLS[name](N_IN, N))
            params = layer.init(jax.random.key(0))
            carry, ys = layer.apply(params, layer.carry((B,)), jnp.ones((T, B, N_IN), jnp.float32))
        assert {a.dtype for a in jax.tree.leaves((params, carry, ys))} == {jnp.dtype(wanted)}


@cells
def test_gates_begin_orthogonal_each(name):
    w_h = example(name).cell.init(jax.random.key(3)).w_h
    for block in jnp.split(w_h, w_h.shape[1] // N, axis=1):
        close(block @ block.T, jnp.eye(N))
