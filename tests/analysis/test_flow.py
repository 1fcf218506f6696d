"""Gradients, Jacobians and Lyapunov exponents where they are known in closed form: linear networks, and maps that
hold or shrink whatever they are given.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import Policy, dense, elman, gru, irnn, last, lstm, stack, unroll
from jaxrnn.analysis import (
    Trace,
    dead_units,
    diagnose,
    gradient_norms,
    group_norms,
    growth,
    lyapunov,
    memory_length,
    observe,
    product_norms,
    reach,
    recurrent_radii,
    running_lyapunov,
    saturation,
    step_jacobians,
    total_norm,
    trajectory,
)
from jaxrnn.cells.elman import Carry

T, B, N_IN, N = 30, 3, 2, 4
XS = jax.random.normal(jax.random.key(5), (T, N_IN))
KEY = jax.random.key(11)


def linear(w_h):
    """h' = x W_x + h W_h, with the layer, params and first carry of one sequence."""
    n = w_h.shape[0]
    layer = unroll(elman(N_IN, n, "identity"))
    params = layer.init(jax.random.key(0))._replace(w_h=jnp.asarray(w_h))
    return layer, params, layer.carry((), params)


def normal(singular_values, turn):
    """U S V' with orthogonal U, V."""
    n = len(singular_values)
    u, v = (np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0] for seed in (1, 2 + turn))
    return u @ np.diag(singular_values) @ v.T


def test_jacobians_of_a_linear_network_are_its_weights():
    w = normal([1.5, 1.0, 0.5, 0.2], 0)
    found = step_jacobians(*linear(w), XS)
    np.testing.assert_allclose(found, np.broadcast_to(w.T, (T, N, N)), rtol=0, atol=1e-12)


def test_norms_of_products_are_those_of_matrix_powers():
    w = normal([1.5, 1.0, 0.5, 0.2], 0)
    found = product_norms(step_jacobians(*linear(w), XS))
    expected = [np.log(np.linalg.norm(np.linalg.matrix_power(w, k), 2)) for k in range(T, 0, -1)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_product_has_the_last_step_first():
    jacobians = np.random.default_rng(0).normal(size=(3, N, N))
    expected = np.log(np.linalg.norm(jacobians[2] @ jacobians[1] @ jacobians[0], 2))
    np.testing.assert_allclose(product_norms(jnp.asarray(jacobians))[0], expected, rtol=1e-12)


def test_a_masked_step_holds_the_state_and_a_reset_forgets_it():
    w = normal([1.5, 1.0, 0.5, 0.2], 0)
    mask, reset = jnp.ones(T, bool).at[4].set(False), jnp.zeros(T, bool).at[7].set(True)
    found = step_jacobians(*linear(w), XS, mask=mask, reset=reset)
    np.testing.assert_array_equal(found[4], np.eye(N))
    np.testing.assert_array_equal(found[7], np.zeros((N, N)))


def test_products_too_small_for_any_float_have_their_logarithm():
    found = product_norms(jnp.broadcast_to(1e-20 * jnp.eye(2, dtype=jnp.float32), (100, 2, 2)))
    np.testing.assert_allclose(found, np.log(1e-20) * np.arange(100, 0, -1), rtol=1e-6)
    assert product_norms(jnp.zeros((3, 2, 2))).tolist() == [-np.inf] * 3


def test_jacobians_of_an_lstm_equal_differences():
    layer = unroll(lstm(N_IN, 2), "scan")
    params, xs = layer.init(KEY), XS[:3]
    carry = jax.tree.map(lambda a: a + 0.3, layer.carry(()))
    found = step_jacobians(layer, params, carry, xs)

    def flat(carry):
        return np.concatenate(jax.tree.leaves(carry))

    before, _ = layer.apply(params, carry, xs[:2])
    for j, field, unit in ((0, "h", 0), (1, "h", 1), (2, "c", 0), (3, "c", 1)):
        ends = []
        for sign in (1, -1):
            moved = before._replace(**{field: getattr(before, field).at[unit].add(sign * 1e-6)})
            ends.append(flat(layer.apply(params, moved, xs[2:])[0]))
        np.testing.assert_allclose(found[2, :, j], (ends[0] - ends[1]) / 2e-6, rtol=1e-7, atol=1e-9)


def test_lyapunov_exponents_of_a_linear_network_are_logs_of_its_eigenvalues():
    """Of a symmetric W with eigenvalues e_k: log |e_k|; of a rotation they are all 0."""
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0]
    values = np.array([1.2, -0.9, 0.5, 0.1])
    xs = jnp.tile(XS, (4, 1))
    found = lyapunov(*linear(q @ np.diag(values) @ q.T), xs, N, key=KEY, warm_up=100)
    np.testing.assert_allclose(found, np.log(np.abs(values)), atol=1e-7)
    np.testing.assert_allclose(lyapunov(*linear(q), XS, N, key=KEY), 0, atol=1e-12)


def test_lyapunov_exponents_are_the_mean_over_real_steps():
    """Padding, in front too, changes nothing; warm_up counts real steps."""
    w, steps = np.diag([1.2, 0.9, 0.5, 0.1]), jnp.tile(XS, (4, 1))
    mask = jnp.ones(2 * len(steps), bool).at[len(steps) // 2 : -len(steps) // 2].set(False)
    padded = jnp.full((len(mask), N_IN), 9.0).at[mask].set(steps)
    for warm_up in (0, 80):
        wanted = lyapunov(*linear(w), steps, 2, key=KEY, warm_up=warm_up)
        np.testing.assert_allclose(
            lyapunov(*linear(w), padded, 2, key=KEY, warm_up=warm_up, mask=mask), wanted, rtol=1e-9
        )
    known = jax.jit(lambda xs: lyapunov(*linear(w), xs, 2, key=KEY, warm_up=80, mask=mask))(padded)
    np.testing.assert_allclose(known, wanted, rtol=1e-9)
    nothing = jnp.zeros(T, bool)
    with pytest.raises(ValueError, match="lyapunov: warm_up is 0, wanted fewer than the 0 real steps of mask"):
        lyapunov(*linear(w), XS, key=KEY, mask=nothing)
    assert jnp.isnan(jax.jit(lambda mask: lyapunov(*linear(w), XS, key=KEY, mask=mask))(nothing)).all()


def test_a_bfloat16_carry_is_widened():
    """The same numbers as with a float32 carry."""
    layer, kept = (unroll(gru(N_IN, N, policy=Policy(jnp.float32, carry=c))) for c in (jnp.bfloat16, jnp.float32))
    params, xs = layer.init(KEY), XS.astype(jnp.float32)
    found, wanted = (step_jacobians(each, params, each.carry((), params), xs) for each in (layer, kept))
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, wanted)
    found_exponents, wanted_exponents = (
        lyapunov(each, params, each.carry((), params), xs, 2, key=KEY) for each in (layer, kept)
    )
    np.testing.assert_array_equal(found_exponents, wanted_exponents)
    norms = product_norms(found.astype(jnp.bfloat16))
    assert norms.dtype == jnp.float32
    np.testing.assert_allclose(norms, product_norms(found), rtol=0.02, atol=0.02)


def test_lyapunov_exponents_may_be_trained():
    """As Engelken 2023 does. Of a diagonal W the largest is log w_00, whose derivative is 1 / w_00."""
    layer, params, carry = linear(np.diag([1.2, 0.9, 0.5, 0.1]))
    xs = jnp.tile(XS, (4, 1))
    grads = jax.grad(lambda params: lyapunov(layer, params, carry, xs, key=KEY, warm_up=100)[0])(params)
    np.testing.assert_allclose(grads.w_h[0, 0], 1 / 1.2, rtol=1e-6)


def test_lyapunov_exponents_of_the_logistic_map_are_log_2():
    """h' = 4 h (1 - h), the textbook's chaos: a cell of one unit whose activation is that map."""
    layer = unroll(elman(1, 1, lambda a: 4 * a * (1 - a)))
    params = layer.init(KEY)._replace(w_x=jnp.zeros((1, 1)), w_h=jnp.ones((1, 1)))
    start = layer.carry(())._replace(h=jnp.array([0.3]))
    (found,) = lyapunov(layer, params, start, jnp.zeros((20_000, 1)), key=KEY)
    assert abs(found - np.log(2)) < 0.005


def test_running_exponents_are_the_means_so_far():
    """Of the logistic map: log |4 - 8 h| up to each step. They settle at log 2, the later half within 0.01 of it."""
    layer = unroll(elman(1, 1, lambda a: 4 * a * (1 - a)))
    params = layer.init(KEY)._replace(w_x=jnp.zeros((1, 1)), w_h=jnp.ones((1, 1)))
    start, xs = layer.carry(())._replace(h=jnp.array([0.3])), jnp.zeros((20_000, 1))
    found = running_lyapunov(layer, params, start, xs, key=KEY, warm_up=2)
    h = np.concatenate([[0.3], np.ravel(trajectory(layer, params, start, xs).h)[:-1]])
    assert np.isnan(found[:2]).all()
    np.testing.assert_allclose(
        found[2:, 0], np.log(np.abs(4 - 8 * h[2:])).cumsum() / np.arange(1, len(h) - 1), rtol=1e-9
    )
    assert abs(found[10_000:] - np.log(2)).max() < 0.01
    np.testing.assert_allclose(found[-1], lyapunov(layer, params, start, xs, key=KEY, warm_up=2), rtol=1e-9)


def test_running_exponents_of_the_cat_map_settle_at_once():
    """h' = [[2, 1], [1, 1]] h mod 1 (Arnold & Avez 1968): +-log of (3 + sqrt 5) / 2, once they have turned."""
    layer = unroll(elman(1, 2, lambda a: a % 1))
    params = layer.init(KEY)._replace(w_x=jnp.zeros((1, 2)), w_h=jnp.array([[2.0, 1.0], [1.0, 1.0]]))
    start = layer.carry(())._replace(h=jnp.array([0.1, 0.3]))
    mask = jnp.ones(60, bool).at[jnp.array([3, 40])].set(False)
    found = running_lyapunov(layer, params, start, jnp.zeros((60, 1)), 2, key=KEY, warm_up=20, mask=mask)
    first = 20 + 1  # the mask's first gap is before it
    assert np.isnan(found[:first]).all()
    wanted = np.log((3 + np.sqrt(5)) / 2) * np.array([1, -1])
    np.testing.assert_allclose(found[first:], np.broadcast_to(wanted, found[first:].shape), atol=1e-12)
    np.testing.assert_array_equal(found[40], found[39])
    assert np.isfinite(
        jax.vmap(lambda key: running_lyapunov(layer, params, start, XS[:, :1], key=key))(KEY[None])
    ).all()


def test_lyapunov_exponents_of_a_stack_are_those_of_its_layers():
    layer = stack(unroll(elman(N_IN, 2, "identity")), unroll(elman(2, 2, "identity")))
    params = layer.init(KEY)
    params = tuple(
        p._replace(w_h=jnp.diag(jnp.array(e))) for p, e in zip(params, ([0.9, 0.3], [0.6, 0.1]), strict=True)
    )
    found = lyapunov(layer, params, layer.carry(()), jnp.tile(XS, (4, 1)), 4, key=KEY, warm_up=100)
    np.testing.assert_allclose(found, np.log([0.9, 0.6, 0.3, 0.1]), atol=1e-6)


def profile(cell, loss=lambda ys: ys[-1].sum(), **weights):
    layer = unroll(cell)
    params = layer.init(KEY)._replace(**weights)
    xs = jnp.abs(jax.random.normal(KEY, (T, B, N_IN)))
    (trace,) = observe(layer, params, layer.carry((B,)), xs, loss=loss).layers.values()
    return np.asarray(gradient_norms(trace))


def test_identity_recurrence_keeps_the_gradient():
    """An IRNN that stays above 0: dL/dh_t is the same for every t."""
    norms = profile(irnn(N_IN, N), w_x=jnp.ones((N_IN, N)))
    np.testing.assert_allclose(norms, np.sqrt(B * N), rtol=1e-12)
    assert memory_length(norms) == T
    assert abs(growth(norms) - 1) < 1e-12


def test_a_contracting_map_lets_it_decay_geometrically():
    norms = profile(elman(N_IN, N, "identity"), w_h=0.8 * jnp.eye(N))
    np.testing.assert_allclose(norms, np.sqrt(B * N) * 0.8 ** np.arange(T - 1, -1, -1), rtol=1e-10)
    assert memory_length(norms) == 5  # 0.8^4 = 0.41, 0.8^5 = 0.33; 1/e = 0.37
    assert abs(growth(norms) - 0.8) < 1e-10


def test_a_gradient_whose_square_is_no_number_has_its_norm():
    tiny = jnp.full((1, 2, 2), 1e-30, jnp.float32)
    trace = Trace(None, tiny, {}, Carry(tiny), tiny, None)
    np.testing.assert_allclose(gradient_norms(trace), [2e-30], rtol=1e-6)


def test_a_loss_at_every_step_sums_the_powers():
    """dL/dh_t = 1 + 0.5 + ... + 0.5^(T-1-t)."""
    norms = profile(elman(N_IN, N, "identity"), loss=lambda ys: ys.sum(), w_h=0.5 * jnp.eye(N))
    np.testing.assert_allclose(norms, np.sqrt(B * N) * 2 * (1 - 0.5 ** np.arange(T, 0, -1)), rtol=1e-10)


def test_reach_looks_back_from_the_last_y():
    for made, place in ((lambda a: a, "elman"), (lambda a: last(stack(a, dense(N, 1))), "elman 0")):
        inner = unroll(elman(N_IN, N, "identity"))
        layer = made(inner)
        params = layer.init(KEY)
        narrow = 0.5 * jnp.eye(N)
        params = params._replace(w_h=narrow) if place == "elman" else (params[0]._replace(w_h=narrow), params[1])
        norms = reach(layer, params, layer.carry((B,), params), jnp.ones((T, B, N_IN)), key=KEY)[place]
        np.testing.assert_allclose(norms[1:] / norms[:-1], 2, rtol=1e-10)


def test_growth_and_memory_of_gradients_that_are_gone():
    assert growth([0.0, 0.0, 1.0]) == 0
    assert growth([0.0, 0.0]) == 1
    assert memory_length([0.0, 0.0, 1.0]) == 1
    assert memory_length([float("nan"), 1.0]) == 1


def test_groups_are_named_by_their_place():
    layer = stack(unroll(gru(N_IN, N)), dense(N, 1))
    ones = jax.tree.map(jnp.ones_like, layer.init(KEY))
    norms = group_norms(ones)
    assert set(norms) == {"0.w_x", "0.w_h", "0.b", "0.b_n", "1.w", "1.b"}
    np.testing.assert_allclose(norms["0.w_h"], np.sqrt(N * 3 * N))
    np.testing.assert_allclose(total_norm(norms), np.sqrt(sum(a.size for a in jax.tree.leaves(ones))))


def test_radii_of_blocks():
    layer = stack(unroll(gru(N_IN, N)), dense(N, 1))
    params = layer.init(KEY)
    blocks = [np.diag([3.0, 1, 0, 0]), np.eye(N)[::-1] * 2, np.zeros((N, N))]
    params = (params[0]._replace(w_h=jnp.concatenate(blocks, axis=1)), params[1])
    np.testing.assert_allclose(recurrent_radii(params)["0.w_h"], [3, 2, 0], atol=1e-12)


def test_saturation_counts_what_stands_at_the_ends():
    """f is s(+-6), i is s(0), g is tanh(0): by biases alone. The padding is not counted."""
    layer = unroll(lstm(N_IN, N))
    params = jax.tree.map(jnp.zeros_like, layer.init(KEY))
    params = params._replace(b=params.b.at[N : 2 * N].set(jnp.array([6.0, 6, 6, -6])))
    mask = jnp.arange(T)[:, None] < jnp.array([T, 5, 0])
    trace = observe(layer, params, layer.carry((B,)), jnp.zeros((T, B, N_IN)), mask=mask).layers["lstm"]
    found = saturation(trace)
    assert [float(found[gate].high) for gate in "ifgo"] == [0, 0.75, 0, 0]
    assert [float(found[gate].low) for gate in "ifgo"] == [0, 0.25, 1, 0]
    np.testing.assert_allclose([float(found[gate].mean) for gate in "io"], 0.5)


def test_a_tanh_has_its_ends_at_minus_1_and_1():
    layer = unroll(lstm(N_IN, N))
    params = jax.tree.map(jnp.zeros_like, layer.init(KEY))
    params = params._replace(b=params.b.at[2 * N : 3 * N].set(jnp.array([3.0, -3, -3, 0])))
    found = saturation(observe(layer, params, layer.carry((B,)), jnp.zeros((T, B, N_IN))).layers["lstm"])["g"]
    assert (float(found.low), float(found.high), float(found.mean)) == (0.5, 0.25, pytest.approx(-np.tanh(3) / 4))


def test_dead_units_are_those_that_never_move():
    layer = unroll(irnn(N_IN, N))
    params = layer.init(KEY)._replace(w_x=jnp.ones((N_IN, N)), b=jnp.array([0.0, -1e6, 0, -1e6]))
    xs = jnp.abs(jax.random.normal(KEY, (T, B, N_IN)))
    trace = observe(layer, params, layer.carry((B,)), xs).layers["irnn"]
    assert dead_units(trace).tolist() == [False, True, False, True]
    moves = Carry(jnp.arange(T * B * N, dtype=float).reshape(T, B, N))
    trace = trace._replace(carry=moves, mask=jnp.zeros((T, B), bool).at[5, 0].set(True))
    assert dead_units(trace).all()  # what moves where nothing is real is no sign of life


def test_a_diagnosis_has_the_gradients_that_grad_gives():
    layer = stack(unroll(lstm(N_IN, N)), dense(N, 1))
    params, xs = layer.init(KEY), jax.random.normal(KEY, (T, B, N_IN))

    def loss(params, xs):
        _, ys = layer.apply(params, layer.carry((B,)), xs)
        return jnp.square(ys).mean(), ()

    found = jax.jit(lambda *args: diagnose(loss, *args))(params, xs)
    value, gradient = jax.jit(jax.value_and_grad(lambda *args: loss(*args)[0]))(params, xs)
    np.testing.assert_allclose(found.loss, value, rtol=1e-12)
    expected = group_norms(gradient)
    assert set(found.gradient) == set(expected) == set(found.weights)
    for name, norm in expected.items():
        np.testing.assert_allclose(found.gradient[name], norm, rtol=1e-9)
        np.testing.assert_allclose(found.weights[name], group_norms(params)[name], rtol=1e-12)
    assert found.layers["lstm 0"].gradient.shape == (T,)


def test_what_is_no_map_from_state_to_state_is_refused():
    layer = unroll(elman(N_IN, N))
    params = layer.init(KEY)
    for owner, call in (
        ("step_jacobians", step_jacobians),
        ("lyapunov", lambda *args: lyapunov(*args, key=KEY)),
        ("running_lyapunov", lambda *args: running_lyapunov(*args, key=KEY)),
    ):
        back = unroll(elman(N_IN, N), reverse=True)
        with pytest.raises(ValueError, match=rf"{owner}: layer has unroll\(..., reverse=True\), wanted one that reads"):
            call(back, params, layer.carry(()), XS)
        with pytest.raises(ValueError, match=rf"{owner}: carry is .*\[3, 4\].*, wanted that of one sequence"):
            call(layer, params, layer.carry((B,)), XS)
        with pytest.raises(ValueError, match=f"{owner}: the layer has no state, wanted a recurrent one"):
            call(dense(N_IN, N), dense(N_IN, N).init(KEY), (), XS)
    with pytest.raises(ValueError, match="lyapunov: k is 9, wanted at most 4"):
        lyapunov(layer, params, layer.carry(()), XS, 9, key=KEY)
    with pytest.raises(ValueError, match="lyapunov: warm_up is 30, wanted fewer than the 30 steps"):
        lyapunov(layer, params, layer.carry(()), XS, key=KEY, warm_up=T)
    with pytest.raises(ValueError, match=r"gradient_norms: the trace has no gradient"):
        gradient_norms(observe(layer, params, layer.carry(()), XS).layers["elman"])
