"""The layers: what each one does, and the laws that all of them obey. Those of `unroll` are in test_laws.py."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from oracle import ORACLES
from tiny import N_IN, B, N, T, close, loss

import jaxrnn
from jaxrnn import (
    CELLS,
    Policy,
    batch_major,
    bidirectional,
    dense,
    dropout,
    elman,
    embed,
    gru,
    last,
    length_mask,
    lstm,
    residual,
    stack,
    unroll,
)
from jaxrnn.initializers import orthogonal, uniform

KEY = jax.random.key(5)
MASK = jnp.array([[1, 1], [0, 1], [1, 0], [1, 1], [1, 0]], bool)
RESET = jnp.array([[0, 1], [1, 0], [0, 1], [1, 0], [0, 0]], bool)  # at the start, in the middle, where masked
MANY = (50, 50, 50)  # for statistics
IDS = jnp.array([[0, 5], [3, 1], [1, 1], [5, 2], [2, 0]])  # of a vocabulary of 6


def swap(a):
    return jnp.swapaxes(a, 0, 1)


def drawn(shapes, seed=0):
    """Normal numbers in every leaf, by NumPy: initialising by JAX would compile for every shape."""
    numbers = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(numbers.normal(size=a.shape) / 2, a.dtype), shapes)


def arguments_of(layer, batch=(B,)):
    """Params and a carry with no zeros in them."""
    return drawn((jax.eval_shape(layer.init, KEY), jax.eval_shape(lambda: layer.carry(batch))))


XS = drawn(jax.ShapeDtypeStruct((T, B, N_IN), jnp.float64), seed=1)
RNN = unroll(elman(N_IN, N))

LAYERS = {
    "stack": (stack(RNN, dropout(0.5), dense(N, 2)), XS),
    "bidirectional": (bidirectional(RNN, unroll(elman(N_IN, 2), reverse=True)), XS),
    "residual": (residual(unroll(elman(N_IN, N_IN))), XS),
    "last": (last(RNN), XS),
    "batch_major": (batch_major(RNN), swap(XS)),
    "dense": (dense(N_IN, N), XS),
    "embed": (embed(6, N), IDS),
    "dropout": (dropout(0.5), XS),
}
layers = pytest.mark.parametrize("name", LAYERS)
forward_layers = pytest.mark.parametrize("name", [n for n in LAYERS if n != "bidirectional"])
layers_in_time = pytest.mark.parametrize("name", [n for n in LAYERS if n != "last"])
cells = pytest.mark.parametrize("name", CELLS)


@functools.cache
def prepared(name):
    """A layer of LAYERS, its arguments (params, carry, xs) with no zeros in them, and its mask and reset."""
    layer, xs = LAYERS[name]
    turn = swap if name == "batch_major" else lambda a: a
    return layer, (*arguments_of(layer), xs), {"mask": turn(MASK), "reset": turn(RESET)}


@functools.cache
def outcome(name):
    """(carry, ys) of a layer of LAYERS, with its mask and reset."""
    layer, arguments, where = prepared(name)
    return layer.apply(*arguments, **where)


def applied(layer, xs, **options):
    """ys, from params as they begin."""
    return layer.apply(layer.init(KEY), layer.carry(xs.shape[1:2]), xs, **options)[1]


# The laws


@layers_in_time
def test_a_masked_step_gives_zero(name):
    mask = np.asarray(prepared(name)[2]["mask"])
    ys = np.asarray(outcome(name)[1])
    assert ys[mask].any()
    assert not ys[~mask].any()


@layers
def test_what_stands_in_padding_reaches_neither_loss_nor_gradients(name):
    layer, (params, carry, xs), where = prepared(name)
    ids = name == "embed"
    real = where["mask"] if ids else where["mask"][..., None]
    inputs = (0, 1) if ids else (0, 1, 2)
    f = jax.jit(jax.value_and_grad(lambda *a: loss(layer, *a, key=KEY, **where), inputs))
    dirty = f(params, carry, jnp.where(real, xs, -1 if ids else jnp.nan))
    close(dirty, f(params, carry, jnp.where(real, xs, 0)))


@layers
def test_jit_changes_nothing(name):
    layer, arguments, where = prepared(name)
    close(jax.jit(layer.apply)(*arguments, **where), outcome(name))


@layers
def test_the_carry_returned_is_like_the_one_given(name):
    layer, arguments, where = prepared(name)
    after, _ = jax.eval_shape(functools.partial(layer.apply, **where), *arguments)
    assert after == jax.eval_shape(lambda: layer.carry((B,), arguments[0]))


@forward_layers
def test_two_halves_with_the_carry_handed_on_equal_the_whole(name):
    layer, (params, carry, xs), where = prepared(name)
    axis = 1 if name == "batch_major" else 0
    ys = []
    for half in range(2):
        x, *masks = (jnp.split(a, [3], axis)[half] for a in (xs, where["mask"], where["reset"]))
        carry, y = layer.apply(params, carry, x, mask=masks[0], reset=masks[1])
        ys.append(y)
    together = ys[1] if name == "last" else jnp.concatenate(ys, axis)
    close((carry, together), outcome(name))


@layers
def test_the_spec_is_named_and_hashable(name):
    layer, _ = LAYERS[name]
    assert layer.spec is not None
    assert layer.spec.name == name
    hash(layer.spec)


# Layers made of layers


def stacked(p, c, xs, mask=None, reset=None):
    first, hs = oracle.run(ORACLES["lstm"], p[0], c[0], xs, mask, reset)
    second, ys = oracle.run(ORACLES["gru"], p[1], c[1], hs, mask, reset)
    return (first, second), ys


def added(p, c, xs, mask=None, reset=None):
    carry, ys = oracle.run(ORACLES["gru"], p, c, xs, mask, reset)
    return carry, (xs if mask is None else np.where(mask[..., None], xs, 0)) + ys


def backwards(p, c, xs, mask=None, reset=None):
    return oracle.run(ORACLES["gru"], p, c, xs, mask, reset, reverse=True)


def both_ways(p, c, xs, mask=None, reset=None):
    forward, ys_f = oracle.run(ORACLES["lstm"], p[0], c[0], xs, mask, reset)
    backward, ys_b = backwards(p[1], c[1], xs, mask, reset)
    return (forward, backward), np.concatenate([ys_f, ys_b], axis=-1)


def both_ways_twice(p, c, xs, mask=None, reset=None):
    first, hs = both_ways(p[0], c[0], xs, mask, reset)
    second, ys = both_ways(p[1], c[1], hs, mask, reset)
    return (first, second), ys


BACKWARD = unroll(gru(N_IN, N), reverse=True)
BOTH = bidirectional(unroll(lstm(N_IN, N)), BACKWARD)
COMPOSED = {
    "stack": (stack(unroll(lstm(N_IN, N)), unroll(gru(N, N))), stacked),
    "residual": (residual(unroll(gru(N_IN, N_IN))), added),
    "reverse": (BACKWARD, backwards),
    "bidirectional": (BOTH, both_ways),
    "stack of bidirectional": (
        stack(BOTH, bidirectional(unroll(lstm(2 * N, N)), unroll(gru(2 * N, N), reverse=True))),
        both_ways_twice,
    ),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_mask_and_reset_reach_every_part(name):
    layer, expected = COMPOSED[name]
    params, carry = arguments_of(layer)
    after, ys = layer.apply(params, carry, XS, mask=MASK, reset=RESET)
    wanted, ys_wanted = expected(jax.tree.map(np.asarray, params), carry, XS, MASK, RESET)
    close((jax.tree.leaves(after), ys), (jax.tree.leaves(wanted), ys_wanted))


SEQUENCES = [  # (real steps, resets): at real steps, at masked ones, and with padding before the boundary
    ("111111", "001010"),
    ("000000", "101000"),
    ("111000", "010110"),
    ("110110", "100100"),
    ("101101", "010101"),
    ("001111", "010001"),
]


def piece_by_piece(name, params, carry, xs, mask, reset):
    """One sequence: its real steps, split at its resets, each piece run alone by NumPy; (the leaves of carry, ys)."""
    expected = COMPOSED[name][1]

    def reads_backwards(path):
        return name == "reverse" or ".backward" in jax.tree_util.keystr(path)

    real = np.flatnonzero(mask)
    pieces = np.split(real, [k for k, t in enumerate(real) if k > 0 and reset[t]])
    # The piece that begins with the carry given, and the one that ends with the carry returned: forward, backward.
    where_given = {False: None if reset[real[:1]].any() else 0, True: len(pieces) - 1}
    where_done = {False: len(pieces) - 1, True: 0}
    ends, ys = [], np.zeros((len(xs), 0))
    for k, times in enumerate(pieces):
        given = jax.tree.map_with_path(lambda path, c: c * (k == where_given[reads_backwards(path)]), carry)
        end, piece = expected(params, given, xs[times])
        ends.append(jax.tree.leaves(end))
        ys = ys if ys.size else np.zeros((len(xs), piece.shape[-1]))
        ys[times] = piece
    paths = [path for path, _ in jax.tree.leaves_with_path(carry)]
    return [ends[where_done[reads_backwards(path)]][i] for i, path in enumerate(paths)], ys


@pytest.mark.parametrize("name", COMPOSED)
@pytest.mark.parametrize("batch", [(), (B,), (2, 3)], ids=["no batch", "batch", "two batch axes"])
def test_a_batch_equals_each_sequence_alone_cut_and_split(name, batch):
    layer = COMPOSED[name][0]
    mask, reset = (
        np.array([[c == "1" for c in sequence[k]] for sequence in SEQUENCES[: int(np.prod(batch))]]) for k in range(2)
    )
    mask, reset = (np.moveaxis(a.reshape(*batch, -1), -1, 0) for a in (mask, reset))
    params, carry = arguments_of(layer, batch)
    xs = drawn(jax.ShapeDtypeStruct((*mask.shape, N_IN), jnp.float64), seed=1)
    xs = jnp.where(mask[..., None], xs, jnp.nan)
    where = {"mask": jnp.asarray(mask), "reset": jnp.asarray(reset)}
    after, ys = layer.apply(params, carry, xs, **where)
    latest = last(layer).apply(params, carry, xs, **where)[1]
    params, before, xs, after, ys, latest = jax.tree.map(np.asarray, (params, carry, xs, after, ys, latest))
    for k in np.ndindex(*batch):
        at = (slice(None), *k)
        wanted = piece_by_piece(name, params, jax.tree.map(lambda a: a[k], before), xs[at], mask[at], reset[at])
        close(([a[k] for a in jax.tree.leaves(after)], ys[at]), wanted)
        close(latest[k], ys[at][np.flatnonzero(mask[at])[-1]] if mask[at].any() else np.zeros_like(latest[k]), 0)
    if batch:
        turned = batch_major(layer).apply(params, carry, swap(xs), **jax.tree.map(swap, where))
        close(turned, (after, swap(ys)))


def test_residual_of_dropout_at_evaluation_doubles():
    close(applied(residual(dropout(0.5)), XS), 2 * XS, 0)


def test_stack_gives_each_layer_noise_of_its_own():
    layer = stack(dropout(0.3), dropout(0.3))
    ys = np.asarray(layer.apply(((), ()), ((), ()), jnp.ones(MANY), key=KEY)[1])
    share = 0.7**2  # with the same draw twice it would be 0.7
    assert abs(np.mean(ys > 0) - share) < 5 * (share * (1 - share) / ys.size) ** 0.5


def test_batch_major_swaps_everything_but_the_carry():
    layer, (params, carry, xs), where = prepared("batch_major")
    after, ys = layer.apply(params, carry, xs, **where)
    close((after, swap(ys)), RNN.apply(params, carry, swap(xs), mask=MASK, reset=RESET))


def test_batch_major_of_last_gives_batch_and_features():
    _, (params, carry, xs), where = prepared("batch_major")
    alone = last(RNN).apply(params, carry, swap(xs), mask=MASK, reset=RESET)
    close(batch_major(last(RNN)).apply(params, carry, xs, **where), alone)


def test_batch_major_of_the_last_of_two_directions_gives_batch_and_features():
    both = bidirectional(last(RNN), last(unroll(elman(N_IN, N), reverse=True)))
    params, carry = arguments_of(both)
    close(batch_major(both).apply(params, carry, swap(XS)), both.apply(params, carry, XS))


# last


def test_last_without_a_mask_is_the_last_step():
    layer, arguments, _ = prepared("last")
    close(layer.apply(*arguments)[1], RNN.apply(*arguments)[1][-1], 0)


def test_last_is_the_last_unmasked_step():
    _, arguments, where = prepared("last")
    ys = RNN.apply(*arguments, **where)[1]
    close(outcome("last")[1], jnp.stack([ys[4, 0], ys[3, 1]]), 0)


def test_last_of_one_sequence_without_a_batch():
    layer, (params, carry, xs), _ = prepared("last")
    one = params, jax.tree.map(lambda a: a[1], carry), xs[:, 1]
    close(layer.apply(*one, mask=MASK[:, 1])[1], RNN.apply(*one, mask=MASK[:, 1])[1][3], 0)


def test_last_of_length_0_is_zero():
    layer, arguments, _ = prepared("last")
    ys = layer.apply(*arguments, mask=length_mask(jnp.array([0, T]), T))[1]
    assert not ys[0].any()
    assert ys[1].any()


@pytest.mark.parametrize("mask", [None, MASK[:0]], ids=["no mask", "mask"])
def test_last_of_no_steps_is_zero_and_the_carry_given(mask):
    layer, (params, carry, xs), _ = prepared("last")
    close(layer.apply(params, carry, xs[:0], mask=mask), (carry, jnp.zeros((B, N))), 0)


# Layers that know no time


def test_dense_equals_the_oracle():
    layer, (params, carry, xs), _ = prepared("dense")
    close(layer.apply(params, carry, xs)[1], oracle.dense(jax.tree.map(np.asarray, params), np.asarray(xs)))


def test_embed_gives_rows():
    layer, (params, carry, ids), _ = prepared("embed")
    close(layer.apply(params, carry, ids)[1], np.asarray(params.w)[np.asarray(ids)], 0)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.int32])
def test_embed_gives_nan_outside_the_table(dtype):
    layer, (params, carry, _), _ = prepared("embed")
    ids = jnp.array([-100, -6, -1, 0, 5, 6, 100], dtype)
    outside = np.isnan(layer.apply(params, carry, ids)[1])
    close(outside, np.repeat((np.array(ids) < 0) | (np.array(ids) > 5), N).reshape(-1, N), 0)


def test_embed_outside_the_table_trains_no_row():
    layer, (params, carry, _), _ = prepared("embed")
    grad = jax.grad(lambda p: layer.apply(p, carry, jnp.array([-1, 6]))[1].sum())(params)
    assert not grad.w.any()


@functools.cache
def dropped(seed=0):
    """Ones of which dropout took 3 in 10."""
    return np.asarray(applied(dropout(0.3), jnp.ones(MANY), key=jax.random.key(seed)))


def test_dropout_without_a_key_is_the_identity():
    close(applied(dropout(0.3), XS), XS, 0)


def test_dropout_of_rate_0_is_the_identity():
    close(applied(dropout(0), XS, key=KEY), XS, 0)


def test_dropout_keeps_its_share():
    ys = dropped()
    assert abs(np.mean(ys > 0) - 0.7) < 5 * (0.3 * 0.7 / ys.size) ** 0.5


def test_dropout_scales_what_it_keeps():
    assert set(np.unique(dropped())) == {0, 1 / 0.7}


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["step", "sequence", "feature"])
def test_dropout_draws_afresh_for_every(axis):
    ys = dropped()
    assert (ys.any(axis) & ~ys.all(axis)).all()  # a draw shared along the axis would leave it all or nothing


def test_dropout_draws_the_same_for_the_same_key():
    close(applied(dropout(0.3), jnp.ones(MANY), key=jax.random.key(0)), dropped(0), 0)


def test_dropout_draws_otherwise_for_another_key():
    assert (dropped(0) != dropped(1)).any()


def test_dropout_has_the_gradient_of_what_it_keeps():
    grad = jax.grad(lambda xs: applied(dropout(0.3), xs, key=KEY).sum())(XS)
    close(grad, applied(dropout(0.3), jnp.ones_like(XS), key=KEY))


# length_mask


@pytest.mark.parametrize("lengths", [3, [0, 1, T], [[0, T], [2, 3]]], ids=["one", "batch", "batches"])
def test_length_mask_is_true_at_the_first_steps(lengths):
    lengths = np.array(lengths)
    mask = np.asarray(length_mask(jnp.array(lengths), T))
    assert mask.shape == (T, *lengths.shape)
    assert all(mask[(t, *k)] == (t < lengths[k]) for t in range(T) for k in np.ndindex(lengths.shape))


def test_length_mask_has_no_steps_for_T_0():
    assert length_mask(jnp.array([0, 0]), 0).shape == (0, 2)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8])
def test_length_mask_counts_past_the_dtype_of_the_lengths(dtype):
    assert length_mask(jnp.array([100], dtype), 300).sum() == 100


@pytest.mark.parametrize("make", [jnp.array, np.array, list], ids=["jax", "numpy", "list"])
@pytest.mark.parametrize(("lengths", "bad"), [([3, 9, -2], 9), ([0, -1, T + 1], -1)])
def test_length_mask_refuses_lengths_that_do_not_fit(make, lengths, bad):
    with pytest.raises(ValueError, match=r"^length_mask: ") as error:
        length_mask(make(lengths), T)
    assert str(error.value) == f"length_mask: lengths has {bad}, wanted 0 to T = {T}"


@pytest.mark.parametrize("dtype", [jnp.int4, jnp.uint8])
def test_length_mask_refuses_lengths_of_any_dtype(dtype):
    with pytest.raises(ValueError, match=r"^length_mask: lengths has 7, wanted 0 to T = 5$"):
        length_mask(jnp.array([5, 7], dtype), 5)


def test_length_mask_takes_any_traced_lengths():
    mask = jax.jit(length_mask, static_argnums=1)(jnp.array([-1, T + 1]), T)
    assert mask.sum(0).tolist() == [0, T]


# Policy

MIXED = Policy(param=jnp.float32, compute=jnp.bfloat16)


def test_dense_gives_its_sums_unrounded():
    layer = dense(N_IN, N, policy=MIXED)
    xs = XS.astype(jnp.bfloat16)
    params = layer.init(KEY)
    rounded = jax.tree.map(lambda a: np.asarray(a.astype(jnp.bfloat16), np.float64), params)
    ys = applied(layer, xs)
    assert ys.dtype == jnp.float32
    close(ys, oracle.dense(rounded, np.asarray(xs, np.float64)), 1e-6)


def test_embed_gives_the_compute_dtype():
    assert applied(embed(6, N, policy=MIXED), IDS).dtype == jnp.bfloat16


@pytest.mark.parametrize("field", ["param", "compute", "carry", "accumulate"])
@pytest.mark.parametrize("dtype", [jnp.int32, "bf16", bool], ids=str)
def test_a_policy_wants_floating_dtypes(field, dtype):
    with pytest.raises(ValueError, match="Policy") as error:
        Policy(**{field: dtype})
    wanted = f"Policy: {field} is {dtype!r}, wanted a floating dtype such as jnp.bfloat16, or None"
    assert str(error.value) == wanted


# How weights begin


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-6), (jnp.bfloat16, 2.0**-6)])
def test_orthogonal_is_so_block_by_block(dtype, tolerance):
    w = orthogonal(KEY, N, 3, dtype)
    assert w.dtype == dtype
    blocks = np.split(np.asarray(w, np.float32), 3, axis=1)
    close([block @ block.T for block in blocks], [np.eye(N)] * 3, tolerance)


def test_orthogonal_blocks_differ():
    first, second, _ = np.split(np.asarray(orthogonal(KEY, N, 3, jnp.float32)), 3, axis=1)
    assert (first != second).all()


def test_uniform_fills_one_over_the_root_of_the_width():
    w = uniform(KEY, (40, 50), 16, jnp.float64)
    assert jnp.abs(w).max() <= 1 / 4
    close(jnp.std(w) * 3**0.5, jnp.array(1 / 4), 0.02)


def test_input_weights_begin_within_one_over_the_root_of_n_in():
    uniform_ones = [name for name in CELLS if name != "lru"]  # normal, as in its paper
    begin = jax.jit(lambda key: {name: CELLS[name](N_IN, N).init(key).w_x for name in uniform_ones})  # compiles no QR
    for name, w_x in begin(KEY).items():
        assert N_IN**-0.5 / 2 < np.abs(w_x).max() <= N_IN**-0.5, name


@pytest.mark.parametrize("peepholes", [None, "diagonal", "full"])
def test_the_forget_bias_begins_in_f_alone(peepholes):
    b = jax.jit(lambda key: lstm(N_IN, N, peepholes, forget_bias=2.5).init(key).b)(KEY)
    close(b, np.array([0.0] * N + [2.5] * N + [0.0] * 2 * N), 0)


# The package


def imported(statements):
    """The top-level modules in a fresh interpreter after the statements."""
    code = f"import sys; {statements}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.check_output([sys.executable, "-c", code], text=True).split())


def test_importing_jaxrnn_is_free():
    assert "jax" not in imported("import jaxrnn")


def test_the_public_names_need_jax_alone():
    modules = imported("import jaxrnn; [getattr(jaxrnn, name) for name in jaxrnn.__all__]")
    assert "jax" in modules
    assert not modules & {"optax", "flax", "orbax", "matplotlib", "torch", "cyclopts", "rich"}


def test_every_public_name_resolves_and_is_listed():
    assert all(getattr(jaxrnn, name) is not None for name in jaxrnn.__all__)
    assert set(jaxrnn.__all__) <= set(dir(jaxrnn))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'jaxrnn' has no attribute 'lstn'"):
        _ = jaxrnn.lstn


# Training


def mean_square(ys):
    return optax.l2_loss(ys, jnp.ones_like(ys)).mean()


def cross_entropy(ys):
    return optax.softmax_cross_entropy_with_integer_labels(ys, IDS % 2).mean()


@pytest.mark.parametrize(
    ("optimizer", "objective"),
    [(optax.sgd(0.1), mean_square), (optax.adam(0.01), cross_entropy)],
    ids=["sgd on squares", "adam on cross-entropy"],
)
def test_optax_lowers_the_loss(optimizer, objective):
    layer = stack(unroll(lstm(N_IN, N)), dense(N, 2))
    params, carry = arguments_of(layer)

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(lambda p: objective(layer.apply(p, carry, XS)[1]))(params)
        with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction mixes dtypes
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    values = []
    for _ in range(5):
        params, state, value = step(params, state)
        values.append(float(value))
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]
