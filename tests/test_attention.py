"""Attention against its equations in plain NumPy, one query and one sequence at a time."""

# pyright: reportArgumentType=false
# Some of the mistakes are wrong types, which is the point.

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from tiny import B, N, T, close, loss, randomized

from jaxrnn import Policy, attend, bind, dense, embed, generate, gru, length_mask, lstm, stack, unroll
from jaxrnn.attention import Additive, Dot, General, look, remember
from jaxrnn.cells import lru

S, N_IN, N_MEMORY = 6, 3, 4  # N_MEMORY = N, as dot wants
FORMS = ("additive", "general", "dot")
forms = pytest.mark.parametrize("form", FORMS)
NUMBERS = np.random.default_rng(0)
MEMORY = jnp.asarray(NUMBERS.normal(size=(S, B, N_MEMORY)))
XS = jnp.asarray(NUMBERS.normal(size=(T, B, N_IN)))
SOURCE = length_mask(jnp.array([4, 0]), S).at[1, 0].set(False)  # a hole, and a sequence without a source
MASK = jnp.array([[1, 1], [0, 1], [1, 0], [1, 1], [1, 0]], bool)
RESET = jnp.array([[0, 1], [1, 0], [0, 1], [1, 0], [0, 0]], bool)


def weights_of(attention, query, memory, real):
    """softmax over the real places of one sequence: query [n], memory [S, n_memory]; zeros where there are none."""
    if isinstance(attention, Additive):
        scores = np.array([attention.v @ np.tanh(query @ attention.w_q + m @ attention.w_m) for m in memory])
    elif isinstance(attention, General):
        scores = np.array([query @ (m @ attention.w_m) for m in memory])
    else:
        scores = np.array([query @ m for m in memory])
    p = np.exp(scores) * real
    return p / p.sum() if real.any() else p


@functools.cache
def prepared(form):
    """An attentive GRU as a layer, its params without zeros, and a carry."""
    layer = unroll(attend(gru(N_IN + N_MEMORY, N), form, N_MEMORY, n=5))
    params, carry = randomized(
        jax.random.key(1), jax.eval_shape(lambda: (layer.init(jax.random.key(0)), layer.carry((B,))))
    )
    return layer, params, carry


def as_numpy(tree):
    return jax.tree.map(np.asarray, tree)


@forms
@pytest.mark.parametrize("masked", [False, True])
def test_a_look_equals_the_equations(form, masked):
    attention = prepared(form)[1].attention
    mask = SOURCE if masked else None
    query = np.random.default_rng(2).normal(size=(B, N))
    context, weights = as_numpy(look(attention, jnp.asarray(query), remember(attention, MEMORY, mask)))
    for k in range(B):
        real = np.asarray(SOURCE[:, k]) if masked else np.ones(S, bool)
        wanted = weights_of(as_numpy(attention), query[k], np.asarray(MEMORY[:, k]), real)
        close((weights[:, k], context[k]), (wanted, wanted @ np.asarray(MEMORY[:, k])))


@forms
def test_the_attentive_cell_equals_the_oracle_with_masks_and_resets(form):
    layer, params, carry = prepared(form)
    after, ys = layer.apply(bind(params, MEMORY, SOURCE), carry, XS, mask=MASK, reset=RESET)
    p = as_numpy(params)
    for k in range(B):
        memory, real = np.asarray(MEMORY[:, k]), np.asarray(SOURCE[:, k])

        def step(p, carry, x):
            context = weights_of(p.attention, carry[0], memory, real) @ memory
            carry, y = oracle.gru(p.cell, carry, np.concatenate([x, context]))
            return carry, np.concatenate([y, context])

        h, wanted = np.asarray(carry.h[k]), np.zeros((T, N + N_MEMORY))
        for t in range(T):
            if MASK[t, k]:
                (h,), wanted[t] = step(p, (np.zeros(N) if RESET[t, k] else h,), np.asarray(XS[t, k]))
        close((after.h[k], ys[:, k]), (h, wanted))


@forms
def test_nan_in_masked_memory_reaches_neither_values_nor_gradients(form):
    layer, params, carry = prepared(form)

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def f(params, memory):
        return loss(layer, bind(params, memory, SOURCE), carry, XS)

    dirty = f(params, jnp.where(SOURCE[..., None], MEMORY, jnp.nan))
    close(dirty, f(params, jnp.where(SOURCE[..., None], MEMORY, 0)))
    assert not np.asarray(dirty[1][1])[~np.asarray(SOURCE)].any()
    assert np.asarray(dirty[1][1])[np.asarray(SOURCE)].all()


def test_a_sequence_without_a_source_reads_zeros():
    layer, params, carry = prepared("additive")
    _, ys = layer.apply(bind(params, MEMORY, SOURCE), carry, XS)
    assert not ys[:, 1, N:].any()
    assert ys[:, 0, N:].all()


def test_a_padded_source_is_read_as_it_is_alone():
    layer, params, carry = prepared("general")
    mask = length_mask(jnp.array([3, 3]), S)
    close(layer.apply(bind(params, MEMORY, mask), carry, XS), layer.apply(bind(params, MEMORY[:3]), carry, XS))


def test_two_halves_with_the_carry_handed_on_equal_the_whole():
    layer, params, carry = prepared("additive")
    params = bind(params, MEMORY, SOURCE)
    after, first = layer.apply(params, carry, XS[:2])
    after, second = layer.apply(params, after, XS[2:])
    close((after, jnp.concatenate([first, second])), layer.apply(params, carry, XS))


def test_a_checkpointed_layer_has_the_same_gradients():
    layer, params, carry = prepared("additive")
    other = unroll(attend(gru(N_IN + N_MEMORY, N), "additive", N_MEMORY, n=5), checkpoint=2)
    one, two = (
        jax.jit(jax.value_and_grad(lambda p: loss(each, bind(p, MEMORY, SOURCE), carry, XS)))(params)
        for each in (layer, other)
    )
    close(one, two, 1e-10)


def test_memory_is_bound_wherever_it_is_wanted_and_generation_needs_nothing_new():
    decoder = stack(embed(5, N_IN), unroll(attend(gru(N_IN + N_MEMORY, N), "dot", N_MEMORY)), dense(N + N_MEMORY, 5))
    params = decoder.init(jax.random.key(0))
    bound = bind(params, MEMORY)
    close(bound[1].memory.values, MEMORY, 0)
    carry = decoder.carry((B,), bound)
    _, ids = generate(decoder, bound, carry, jnp.zeros((1, B), int), 3, temperature=0)
    _, logits = decoder.apply(bound, carry, jnp.concatenate([jnp.zeros((1, B), int), ids[:-1]]))
    np.testing.assert_array_equal(ids, logits.argmax(-1))


def test_without_a_memory_the_params_are_those_an_optimizer_may_see():
    layer, params, _ = prepared("additive")
    assert params.memory is None
    learned = jax.tree.leaves(jax.grad(lambda p: loss(layer, bind(p, MEMORY), layer.carry((B,)), XS))(params))
    assert all(np.asarray(leaf).any() for leaf in learned)
    assert len(learned) == len(jax.tree.leaves(params))


def test_a_look_for_a_whole_sequence_is_a_vmap():
    memory = remember(Dot(), MEMORY, SOURCE)
    queries = jnp.asarray(NUMBERS.normal(size=(T, B, N)))
    contexts, _ = jax.vmap(look, (None, 0, None))(Dot(), queries, memory)
    for t in range(T):
        close(contexts[t], look(Dot(), queries[t], memory)[0])


@pytest.mark.parametrize("checkpoint", [None, 2])
def test_the_noise_of_the_cell_inside_is_the_noise_it_draws_alone(checkpoint):
    plain = gru(N_IN + N_MEMORY, N)

    def project(params, xs, keys=None):
        assert keys is not None
        us = plain.project(params, xs)
        each = jax.vmap(lambda key: jax.random.normal(key, us.shape[1:]))(keys.steps)
        return us + each + jax.random.normal(keys.sequence, us.shape[1:])

    noisy = plain._replace(project=project)
    _, params, carry = prepared("dot")
    nothing = bind(params, MEMORY, jnp.zeros((S, B), bool))  # so that the context is zero
    layer = unroll(attend(noisy, "dot", N_MEMORY), checkpoint=checkpoint)
    after, ys = layer.apply(nothing, carry, XS, key=jax.random.key(3))
    beside = jnp.concatenate([XS, jnp.zeros((T, B, N_MEMORY))], -1)
    close((after, ys[..., :N]), unroll(noisy).apply(params.cell, carry, beside, key=jax.random.key(3)))


def test_bfloat16_memory_and_float32_params():
    layer = unroll(attend(lstm(N_IN + N_MEMORY, N), "additive", N_MEMORY))
    params = jax.tree.map(lambda a: a.astype(jnp.float32), layer.init(jax.random.key(0)))
    params = bind(params, MEMORY.astype(jnp.bfloat16), SOURCE)
    carry = layer.carry((B,), params)
    after, ys = jax.eval_shape(layer.apply, params, carry, XS.astype(jnp.float32))
    assert after == jax.eval_shape(lambda: carry)
    assert ys.dtype == jnp.float32


@pytest.mark.parametrize("form", ["additive", "general"])
def test_the_product_with_the_memory_obeys_the_policy_that_bind_is_given(form):
    """Of bfloat16 numbers, summed in float32."""
    params = jax.tree.map(lambda a: a.astype(jnp.float32), prepared(form)[1])
    memory = MEMORY.astype(jnp.float32)
    exact, keys = (
        bind(params, memory, policy=policy).memory.keys for policy in (Policy(), Policy(compute=jnp.bfloat16))
    )
    rounded, w = (np.asarray(a.astype(jnp.bfloat16), np.float64) for a in (memory, params.attention.w_m))
    assert keys.dtype == jnp.float32
    close(np.asarray(keys, np.float64), rounded @ w, 1e-6)
    assert np.abs(keys - exact).max() > 1e-4


CELL = gru(N_IN + N_MEMORY, N)


def apply(bound_to):
    layer, params, carry = prepared("dot")
    return layer.apply(params if bound_to is None else bind(params, bound_to), carry, XS)


MISTAKES = [
    (lambda: apply(None), "attend: params have no memory yet, wanted bind(params, memory, mask)"),
    (lambda: apply(MEMORY[:, :1]), "attend: memory is float64[6, 1, 4], wanted [S, 2, 4] as in x"),
    (lambda: apply(MEMORY[..., :3]), "attend: memory is float64[6, 2, 3], wanted [S, 2, 4] as in x"),
    (
        lambda: bind(prepared("general")[1], MEMORY[..., :3]),
        "attention: memory has 3 features, weights expect 4 (memory: float64[6, 2, 3])",
    ),
    (
        lambda: bind(prepared("dot")[1], MEMORY, MASK),
        "bind: mask is bool[5, 2], wanted bool[6, 2], one a step and sequence as in memory",
    ),
    (
        lambda: bind((XS,), MEMORY),
        "bind: params is (float64[5, 2, 3],), wanted those of a layer with attend(cell, ...)",
    ),
    (
        lambda: bind(prepared("dot")[1], MEMORY, policy=jnp.bfloat16),
        "bind: policy is <class 'jax.numpy.bfloat16'>, wanted a Policy such as Policy(compute=jnp.bfloat16)",
    ),
    (
        lambda: attend(CELL, "Additive", N_MEMORY),
        "attend has no attention 'Additive'; it has additive, general, dot; did you mean 'additive'?",
    ),
    (lambda: attend(CELL, "dot", 3), "attend: n_memory is 3, wanted 4, the width of h, for dot"),
    (lambda: attend(CELL, "general", 0), "attend: n_memory is 0, wanted a whole number of at least 1"),
    (
        lambda: attend(lru(N_IN + N_MEMORY, N), "dot", 4),
        "attend: the cell's carry is Carry(re=float64[4], im=float64[4]), wanted one with a state h to ask with",
    ),
    (lambda: attend(unroll(CELL), "dot", 4), "attend: cell is a Layer, wanted a Cell such as gru(n_in + n_memory, n)"),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_answered(call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert str(error.value) == message
