"""The laws: what holds for every cell and every method. Those about JAX's transformations are in transformations.py.

A law on parts of a batch or of its time leaves noise out, which is drawn for the whole.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import ORACLES, STARTS, run
from tiny import N_IN, QUIET, TESTED, B, N, T, applied, cells, cells_and_methods, close, example, loss_and_grads

from jaxrnn import CELLS, Policy, length_mask, unroll

pytestmark = pytest.mark.thorough
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])

REAL = jnp.ones((T, B), bool)
NEVER = jnp.zeros((T, B), bool)


def one_by_one(name, method, carry, times):
    """The single steps at `times`, the carry handed from each to the next: (carry, ys)."""
    e = example(name)
    ys = []
    for t in times:
        now = slice(t, t + 1)
        carry, y = applied(name, method)(e.params, carry, e.xs[now], REAL[now], NEVER[now])
        ys.append(y)
    return carry, jnp.concatenate(ys)


@cells_and_methods(CELLS)
@directions
def test_equals_the_oracle(name, method, reverse):
    e = example(name)
    p = jax.tree.map(np.asarray, e.params)
    carry, ys = run(ORACLES[name], p, e.carry, e.xs, e.mask, e.reset, STARTS.get(name), reverse=reverse)
    close(applied(name, method, reverse)(*e.arguments), (type(e.carry)(*carry), ys))


@cells_and_methods(CELLS, costly=True)
@pytest.mark.parametrize("batch", [(), (2, 3)], ids=["no batch", "two batch axes"])
def test_any_batch_rank_equals_the_oracle(name, method, batch):
    e = example(name, batch)
    p = jax.tree.map(np.asarray, e.params)
    carry, ys = run(ORACLES[name], p, e.carry, e.xs, e.mask, e.reset, STARTS.get(name))
    close(applied(name, method)(*e.arguments), (type(e.carry)(*carry), ys))


@cells_and_methods(QUIET, costly=True)
def test_a_sequence_equals_its_single_steps(name, method):
    e = example(name)
    whole = applied(name, method)(e.params, e.carry, e.xs, REAL, NEVER)
    close(one_by_one(name, method, e.carry, range(T)), whole)


@cells_and_methods(QUIET)
def test_a_sequence_may_be_cut_where_masks_and_resets_are(name, method):
    e = example(name)
    f = applied(name, method)
    carry, ys = e.carry, []
    for t in range(T):
        carry, y = f(e.params, carry, *(a[t : t + 1] for a in (e.xs, e.mask, e.reset)))
        ys.append(y)
    close((carry, jnp.concatenate(ys)), f(*e.arguments))


@cells_and_methods(QUIET)
@directions
def test_a_padded_sequence_equals_the_shorter_one(name, method, reverse):
    e = example(name)
    mask = length_mask(jnp.full(B, 3), T)
    carry, ys = applied(name, method, reverse)(e.params, e.carry, e.xs, mask, NEVER)
    times = [2, 1, 0] if reverse else [0, 1, 2]
    short_carry, short_ys = one_by_one(name, method, e.carry, times)
    close((carry, ys[jnp.array(times)]), (short_carry, short_ys))
    assert not ys[3:].any()


@cells_and_methods(QUIET)
def test_a_reset_starts_afresh(name, method):
    e = example(name)
    reset = NEVER.at[2].set(True)
    carry, ys = applied(name, method)(e.params, e.carry, e.xs, REAL, reset)
    close((carry, ys[2:]), one_by_one(name, method, e.cell.carry((B,), e.params), range(2, T)))
    close(ys[:2], one_by_one(name, method, e.carry, range(2))[1])


@cells_and_methods(TESTED, costly=True)
@directions
def test_nan_in_padding_reaches_neither_loss_nor_gradients(name, method, reverse):
    e = example(name)
    f = loss_and_grads(name, method, reverse)
    dirty, clean = (jnp.where(e.mask[..., None], e.xs, pad) for pad in (jnp.nan, 0))
    close(*(f(e.params, e.carry, xs, e.mask, e.reset) for xs in (dirty, clean)))


@cells_and_methods(TESTED)
def test_length_0_gives_the_carry_back(name, method):
    e = example(name)
    mask = length_mask(jnp.array([0, T]), T)
    carry, ys = applied(name, method)(e.params, e.carry, e.xs, mask, e.reset)
    close(jax.tree.map(lambda a: a[0], carry), jax.tree.map(lambda a: a[0], e.carry), 0)
    assert not ys[:, 0].any()


@cells_and_methods(TESTED, costly=True)
def test_no_steps_at_all_give_the_carry_back_with_its_gradient(name, method):
    e = example(name)
    none = e.params, e.carry, e.xs[:0], e.mask[:0], e.reset[:0]
    carry, ys = applied(name, method)(*none)
    close(carry, e.carry, 0)
    assert ys.shape[:2] == (0, B)
    _, (dparams, dcarry, _) = loss_and_grads(name, method)(*none)
    assert not any(leaf.any() for leaf in jax.tree.leaves(dparams))
    assert all(leaf.any() for leaf in jax.tree.leaves(dcarry))


@cells_and_methods(TESTED, costly=True)
@pytest.mark.parametrize("policy", [Policy(), Policy(compute=jnp.bfloat16), Policy(param=jnp.bfloat16)], ids=str)
def test_the_carry_keeps_its_shape_and_dtype(name, method, policy):
    with jax.enable_x64(False):
        layer = unroll(TESTED[name](N_IN, N, policy=policy), method)
        params = layer.init(jax.random.key(0))
        before = layer.carry((B,), params)
        xs = jax.ShapeDtypeStruct((T, B, N_IN), jnp.float32)
        key = example(name).key
        after, ys = jax.eval_shape(lambda xs: layer.apply(params, before, xs, key=key, reset=NEVER), xs)
    assert jax.eval_shape(lambda: before) == after
    assert {a.dtype for a in jax.tree.leaves(after)} == {jnp.dtype(jnp.float32)}
    assert ys.dtype == (policy.compute or jnp.float32)


@cells_and_methods(TESTED, costly=True)
@pytest.mark.parametrize("outer", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_the_second_call_does_not_trace_again(name, method, outer):
    e = example(name)
    traced = []

    def project(*arguments):
        traced.append(1)
        return e.cell.project(*arguments)

    layer = unroll(e.cell._replace(project=project), method)
    f = outer(lambda p, c, x, key: layer.apply(p, c, x, key=key, mask=e.mask, reset=e.reset))
    carry, _ = f(e.params, e.carry, e.xs, jax.random.key(0))
    first = len(traced)
    f(e.params, carry, e.xs + 1, jax.random.key(1))
    assert first > 0
    assert len(traced) == first


@cells(TESTED)
def test_the_default_dtype_follows_jax(name):
    for x64, wanted in ((False, jnp.float32), (True, jnp.float64)):
        with jax.enable_x64(x64):
            layer = unroll(TESTED[name](N_IN, N))
            params = jax.eval_shape(layer.init, jax.random.key(0))
            xs = jax.ShapeDtypeStruct((T, B, N_IN), jnp.float32)
            carry, ys = jax.eval_shape(lambda p, x, layer=layer: layer.apply(p, layer.carry((B,)), x), params, xs)
        assert {a.dtype for a in jax.tree.leaves((params, carry, ys))} == {jnp.dtype(wanted)}


@cells(TESTED)
@pytest.mark.parametrize("batch", [(), (B,)], ids=["no batch", "batch"])
def test_a_carry_may_be_donated_and_the_params_stay(name, batch):
    """No two leaves are one array, neither of the carry nor of the carry and the params it was made for."""
    cell = TESTED[name](N_IN, N)
    for params in (None, cell.init(jax.random.key(0))):
        buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((params, cell.carry(batch, params)))]
        assert len(set(buffers)) == len(buffers)
