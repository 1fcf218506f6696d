"""What is particular to single cells; what holds for all of them is in test_laws.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from tiny import N_IN, B, N, T, close, randomized

from jaxrnn import (
    Cell,
    gru_layernorm,
    gru_projected,
    indrnn,
    irnn,
    lstm,
    lstm97,
    lstm2000,
    lstm_layernorm,
    lstm_projected,
    lstm_variant,
    slstm,
    unroll,
)

KEY = jax.random.key(11)
XS = jax.random.normal(jax.random.key(12), (T, B, N_IN))


def count(cell):
    """How many weights a cell has."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(cell.init, KEY)))


def test_a_cell_of_your_own_is_its_four_functions():
    decay = Cell(
        init=lambda key: jnp.full(N_IN, 0.5),
        carry=lambda batch_shape, params=None: jnp.ones((*batch_shape, N_IN)),  # no field, no zero
        project=lambda params, xs, key=None: 2 * xs,
        step=lambda rate, h, u: (rate * h + u, h),
    )
    layer = unroll(decay, reverse=True)
    where = {"mask": jnp.arange(T)[:, None] < jnp.array([T, 3]), "reset": jnp.arange(T)[:, None] == jnp.array([3, 1])}
    start = layer.carry((B,))
    (carry,), ys = oracle.run(
        lambda p, c, x: ((0.5 * c[0] + 2 * x,), c[0]), (), (start,), XS, **where, start=[1], reverse=True
    )
    close(layer.apply(layer.init(KEY), start, XS, **where), (carry, ys))


def test_irnn_begins_as_the_identity():
    """Without input h is carried on unchanged; with `scale` it shrinks."""
    for scale in (1.0, 0.5):
        layer = unroll(irnn(N_IN, N, scale))
        h = jnp.arange(1.0, 1 + N)
        carry, _ = layer.apply(layer.init(KEY), layer.carry(())._replace(h=h), jnp.zeros((3, N_IN)))
        close(carry.h, h * scale**3, 0)


def test_indrnn_units_see_their_own_past_alone():
    cell = indrnn(N_IN, N)
    params = cell.init(KEY)
    assert params.w_h.shape == (N,)
    assert np.all((params.w_h >= 0) & (params.w_h <= 1))
    seen = jax.jacobian(lambda h: cell.step(params, cell.carry(())._replace(h=h), jnp.ones(N))[1])(jnp.ones(N))
    close(seen, jnp.diag(params.w_h))


def test_a_projected_lstm_may_have_peepholes():
    layer = unroll(lstm_projected(N_IN, N, 3, "diagonal"))
    params = randomized(KEY, layer.init(KEY))
    carry = randomized(KEY, layer.carry((B,)))
    after, ys = oracle.run(oracle.lstm_projected_diagonal, jax.tree.map(np.asarray, params), carry, XS)
    assert ys.shape[-1] == 3
    close(layer.apply(params, carry, XS), (type(carry)(*after), ys))


@pytest.mark.parametrize("make", [lstm_projected, gru_projected])
def test_a_projection_is_no_wider_than_what_it_projects(make):
    assert unroll(make(N_IN, 1)).carry(()).h.shape == (1,)
    with pytest.raises(ValueError, match="n_proj is 5, wanted at most n, which is 4"):
        make(N_IN, 4, 5)


@pytest.mark.parametrize("make", [lstm_layernorm, gru_layernorm])
def test_layer_norm_does_not_see_the_scale_of_x_or_of_the_weights(make):
    layer = unroll(make(N_IN, N, eps=1e-30))
    params = layer.init(KEY)
    carry = layer.carry((B,))
    wanted = layer.apply(params, carry, XS)
    close(layer.apply(params, carry, XS * 7), wanted, 1e-10)
    close(layer.apply(params._replace(w_x=params.w_x / 3, w_h=params.w_h * 5), carry, XS), wanted, 1e-10)
    with pytest.raises(ValueError, match="eps is 0, wanted a number above 0"):
        make(N_IN, N, eps=0)


@pytest.mark.parametrize(
    ("variant", "matrices", "vectors"),  # W_x and W_h blocks, recurrent gate blocks; peepholes and biases
    [
        ("NIG", (3, 0), 2 + 3),
        ("NFG", (3, 0), 2 + 3),
        ("NOG", (3, 0), 2 + 3),
        ("CIFG", (3, 0), 2 + 3),
        ("NIAF", (4, 0), 3 + 4),
        ("NOAF", (4, 0), 3 + 4),
        ("NP", (4, 0), 4),
        ("FGR", (4, 9), 3 + 4),
    ],
)
def test_a_variant_has_weights_for_what_it_has(variant, matrices, vectors):
    blocks, recurrent_gates = matrices
    wanted = blocks * (N_IN * N + N * N) + recurrent_gates * N * N + vectors * N
    assert count(lstm_variant(N_IN, N, variant)) == wanted


def test_np_is_the_lstm_without_peepholes():
    """And the forget bias begins in f, wherever f stands."""
    plain, variant = unroll(lstm(N_IN, N)), unroll(lstm_variant(N_IN, N, "NP"))
    params = plain.init(KEY)
    same = variant.init(KEY)._replace(w_x=params.w_x, w_h=params.w_h, b=params.b)
    close(tuple(variant.apply(same, variant.carry((B,)), XS)[0]), tuple(plain.apply(params, plain.carry((B,)), XS)[0]))
    close(lstm_variant(N_IN, N, "NIG", forget_bias=2.5).init(KEY).b, jnp.array([2.5] * N + [0.0] * 2 * N), 0)


def plain_slstm(us, w_h):
    """h of every step in float64 by the equations without m, for us [T, B, 4n] and W_h [n, 4n]."""
    h = c = n = np.zeros((us.shape[1], us.shape[2] // 4))
    for u in us:
        a_i, a_f, a_z, a_o = np.split(u + h @ w_h, 4, axis=-1)
        c = np.exp(a_f) * c + np.exp(a_i) * np.tanh(a_z)
        n = np.exp(a_f) * n + np.exp(a_i)
        h = oracle.s(a_o) * c / n
        yield h


@pytest.mark.parametrize(
    ("T", "size", "dtype", "tolerance"), [(200, 3.0, jnp.float64, 1e-10), (10, 50.0, jnp.float32, 1e-4)]
)
def test_slstm_is_the_exponential_gates_without_the_stabiliser(T, size, dtype, tolerance):
    """As far as these do not overflow: float64 holds exp of 709, so 200 steps at 3, or 10 at 50, near the largest."""
    cell = slstm(N_IN, N)
    us = size * jax.random.uniform(KEY, (T, B, 4 * N), dtype, -1, 1)
    params = cell.init(KEY)._replace(w_h=jax.random.normal(KEY, (N, 4 * N), dtype) / 2)
    carry = jax.tree.map(lambda a: a.astype(dtype), cell.carry((B,))._replace(m=jnp.full((B, N), -1e38)))
    _, ys = jax.lax.scan(lambda carry, u: cell.step(params, carry, u), carry, us)
    with np.errstate(over="raise", invalid="raise"):
        wanted = np.array(list(plain_slstm(np.asarray(us, np.float64), np.asarray(params.w_h, np.float64))))
    close(ys.astype(jnp.float64), wanted, tolerance)


def test_slstm_stays_finite_in_float32():
    """200 steps with gates at +-50, values and gradients; the first gives o * tanh(z), whatever the gates are."""
    with jax.enable_x64(False):
        layer = unroll(slstm(1, 1))
        params = layer.init(KEY)
        gates = [(50, 50), (50, -50), (-50, 50), (-50, -50), (0, 0)]
        biases = jnp.array([[i, f, 0.5, 1.0] for i, f in gates], jnp.float32)

        def total(params):
            carry, ys = layer.apply(params, layer.carry((), params), jnp.ones((200, 1)))
            return ys.sum(), (carry, ys)

        gradient = jax.vmap(lambda b: jax.grad(total, has_aux=True)(params._replace(b=b)))
        grads, (carry, ys) = jax.jit(gradient)(biases)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((grads, carry, ys)))
        z, o = (biases + params.w_x[0])[:, 2:].T
        close(ys[:, 0, 0], jnp.tanh(z) * jax.nn.sigmoid(o), 1e-6)


@pytest.mark.parametrize(
    ("weights", "n_in", "n", "blocks", "bias", "n_out", "output_bias"),
    [
        (264, 7, 4, 4, "gates", 7, False),  # embedded Reber grammar, 4 blocks of 1
        (276, 7, 6, 3, "gates", 7, False),  # the same, 3 blocks of 2
        (364, 54, 2, 2, None, 2, False),  # 2c, long time lags, q = 50
        (102, 1, 3, 3, "all", 1, False),  # 3a, two-sequence problem
        (93, 2, 4, 2, "all", 1, True),  # 4 and 5, adding and multiplication
        (156, 8, 4, 2, "all", 4, True),  # 6a, temporal order
        (308, 8, 6, 3, "all", 8, True),  # 6b, temporal order of three
    ],
)
def test_lstm97_has_as_many_weights_as_in_the_paper(weights, n_in, n, blocks, bias, n_out, output_bias):
    """The cells' and gates' and those of the output units, which see the cells alone."""
    output = n * n_out + (n_out if output_bias else 0)
    assert count(lstm97(n_in, n, blocks, bias)) + output == weights


@pytest.mark.parametrize("bias", ["all", "gates", None])
def test_lstm97_in_blocks_equals_the_oracle(bias):
    layer = unroll(lstm97(N_IN, 6, 3, bias))
    params = randomized(KEY, layer.init(KEY))
    carry = randomized(KEY, layer.carry((B,)))
    after, ys = oracle.run(oracle.ORACLES["lstm97"], jax.tree.map(np.asarray, params), carry, XS)
    close(layer.apply(params, carry, XS), (type(carry)(*after), ys))


def test_lstm97_begins_its_blocks_apart():
    b = lstm97(N_IN, 4, 2, input_bias=-3.0, output_bias=(-1.0, -2.0)).init(KEY).b
    close(b, jnp.array([-3.0, -3, -1, -2, 0, 0, 0, 0]), 0)


@pytest.mark.parametrize(("forget_bias", "gates"), [(1.0, 3), (None, 2)])
def test_lstm2000_in_blocks_equals_the_oracle(forget_bias, gates):
    layer = unroll(lstm2000(N_IN, 6, 3, forget_bias=forget_bias))
    params = randomized(KEY, layer.init(KEY))
    carry = randomized(KEY, layer.carry((B,)))
    step = functools.partial(oracle.lstm2000, gates=gates)
    after, ys = oracle.run(step, jax.tree.map(np.asarray, params), carry, XS)
    close(layer.apply(params, carry, XS), (type(carry)(*after), ys))


def test_lstm2000_begins_its_blocks_apart():
    b = lstm2000(N_IN, 4, 2, (-1.0, -2.0), (3.0, 4.0), -5.0).init(KEY).b
    close(b, jnp.array([-1.0, -2, 3, 4, -5, -5]), 0)
