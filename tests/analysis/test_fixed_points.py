"""Fixed points that are known in closed form, and those that a network trained to keep bits must have."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn import Policy, bidirectional, dense, elman, gru, stack, unroll
from jaxrnn.analysis import fixed_points, kind, scattered, time_constants, trajectory, unstable
from jaxrnn.cells.elman import Params
from jaxrnn.runner.config import Flipflop
from jaxrnn.runner.tasks.flipflop import flipflop


def tanh_net(w_h, b=0.0):
    w_h = jnp.asarray(w_h)
    return elman(1, len(w_h)), Params(jnp.zeros((1, len(w_h))), w_h, jnp.full(len(w_h), b))


def starts(cell, n=64, size=1.0):
    return cell.carry((n,))._replace(
        h=jax.random.uniform(jax.random.key(0), (n, *cell.carry(()).h.shape), minval=-size, maxval=size)
    )


def test_two_switches_have_nine_points_each_with_its_spectrum():
    """h' = tanh(a h), unit by unit: 0 with eigenvalue a, and +-h* = tanh(a h*) with a (1 - h*^2)."""
    slopes = (2.0, 1.5)
    cell, params = tanh_net(jnp.diag(jnp.array(slopes)))
    found = fixed_points(cell, params, jnp.zeros(1), starts(cell))
    sides = [functools.reduce(lambda h, _, a=a: float(np.tanh(a * h)), range(200), 1.0) for a in slopes]
    wanted = {
        signs: [s * h for s, h in zip(signs, sides, strict=True)] for signs in itertools.product((-1, 0, 1), repeat=2)
    }
    states = np.asarray(found.carries.h)
    assert len(states) == 9
    assert found.reached.sum() <= 64
    for signs, state in wanted.items():
        k = int(np.abs(states - state).max(-1).argmin())
        np.testing.assert_allclose(states[k], state, atol=1e-7)
        slopes_there = sorted((a * (1 - h**2) for a, h in zip(slopes, state, strict=True)), reverse=True)
        np.testing.assert_allclose(found.eigenvalues[k], slopes_there, atol=1e-6)
        assert unstable(found)[k] == signs.count(0)
        words = {0: "stable", 1: "saddle, 1 unstable direction", 2: "unstable, 2 unstable directions"}
        assert kind(found, k) == words[signs.count(0)]


def test_a_turning_contraction_has_one_point_and_its_time_constant():
    """h' = rho R(angle) h + b: the point (1 - A)^-1 b, eigenvalues rho e^(+-i angle), 1/e after -1 / ln rho steps."""
    rho, angle = 0.9, 0.5
    A = rho * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cell = elman(1, 2, activation="identity")
    params = Params(jnp.zeros((1, 2)), jnp.asarray(A.T), jnp.array([1.0, -0.5]))
    found = fixed_points(unroll(cell), params, jnp.zeros(1), starts(cell, 8, 20.0))
    (state,) = np.asarray(found.carries.h)
    np.testing.assert_allclose(state, np.linalg.solve(np.eye(2) - A, [1.0, -0.5]), atol=1e-6)
    np.testing.assert_allclose(
        sorted(found.eigenvalues[0], key=np.imag), rho * np.exp([-1j * angle, 1j * angle]), atol=1e-9
    )
    np.testing.assert_allclose(time_constants(found.eigenvalues[0]), -1 / np.log(rho), rtol=1e-9)
    assert time_constants(np.array([2.0])) == pytest.approx(-1 / np.log(2))
    np.testing.assert_array_equal(time_constants(np.array([1.0, 1j, 0.0])), [np.inf, np.inf, 0])


def test_a_ghost_is_slow_and_no_fixed_point():
    """h' = tanh(2 h + b), b just past where two points meet and vanish: the state lingers where they were."""
    edge = np.sqrt(0.5)  # tanh' = 1/2 there
    b = float(np.arctanh(edge) - 2 * edge)
    cell, params = tanh_net(jnp.array([[2.0]]), -b + 0.003)
    found = fixed_points(cell, params, jnp.zeros(1), starts(cell), slow=1e-3)
    words = [kind(found, k) for k in range(len(found.q))]
    assert words.count("stable") == 1
    (ghost,) = [k for k, w in enumerate(words) if w.startswith("slow point")]
    assert abs(float(found.carries.h[ghost, 0]) + edge) < 0.05
    assert found.converged.tolist() == [not w.startswith("slow point") for w in words]
    assert len(fixed_points(cell, params, jnp.zeros(1), starts(cell), slow=1e-9).q) == 1


@pytest.mark.parametrize("spread", [None, 0.0, 1e-6])
def test_starts_that_do_not_spread_lead_somewhere(spread):
    """One, many that are the same, and many that nearly are."""
    layer = unroll(gru(2, 4))
    params = layer.init(jax.random.key(0))
    begin = layer.carry((1 if spread is None else 8,), params)
    begin = begin._replace(h=begin.h + (spread or 0) * jax.random.normal(jax.random.key(1), begin.h.shape))
    found = fixed_points(layer, params, jnp.ones(2), begin)
    assert found.reached.tolist() == [len(begin.h)]
    rested = trajectory(layer, params, layer.carry((), params), jnp.ones((300, 2))).h[-1]
    np.testing.assert_allclose(found.carries.h[0], rested, atol=1e-7)


def test_what_lies_far_from_all_starts_is_dropped():
    """h' = 0.9 h + b has its point at 10 b, which the starts about 0 are far from."""
    cell = elman(1, 1, activation="identity")
    for b, k in ((0.1, 1), (5.0, 0)):
        params = Params(jnp.zeros((1, 1)), jnp.full((1, 1), 0.9), jnp.full(1, b))
        assert len(fixed_points(cell, params, jnp.zeros(1), starts(cell, 8)).q) == k


def test_newton_goes_on_until_the_ground_and_no_longer():
    """h' = tanh(h) has eigenvalues of 1 at its one point, 0: a step of Newton's takes a third of the way at most."""
    cell, params = tanh_net(jnp.eye(2))
    found = fixed_points(cell, params, jnp.zeros(1), starts(cell, 16), steps=0)
    assert found.q.tolist() == pytest.approx([0], abs=1e-15)
    assert found.converged.all()
    few = fixed_points(cell, params, jnp.zeros(1), starts(cell, 16), steps=0, newton=3)
    assert not few.converged.any()
    many = fixed_points(cell, params, jnp.zeros(1), starts(cell, 16), steps=0, newton=10**9)
    np.testing.assert_allclose(many.q, 0, atol=1e-20)


def test_few_newton_steps_leave_states_along_a_line_of_slow_points():
    """h' = a - a^3 / 1000 of a = (h_1, 0.3 h_2): along h_1 it creeps, to 0, its one fixed point; h_2 is soon gone."""
    cell = elman(1, 2, activation=lambda a: a - a**3 / 1000)
    params = Params(jnp.zeros((1, 2)), jnp.diag(jnp.array([1, 0.3])), jnp.zeros(2))
    found = fixed_points(cell, params, jnp.zeros(1), starts(cell), steps=0, newton=4)
    states = np.asarray(found.carries.h)
    assert len(states) > 20
    np.testing.assert_allclose(states[:, 1], 0, atol=1e-3)
    assert np.ptp(states[:, 0]) > 1.5
    np.testing.assert_allclose(found.eigenvalues[:, 0], 1, atol=3e-3)
    slid = fixed_points(cell, params, jnp.zeros(1), starts(cell), steps=0)
    assert (np.abs(np.asarray(slid.carries.h)) < 0.1).all()


def test_bfloat16_starts_are_refused_with_the_way_out():
    layer = unroll(gru(2, 4, policy=Policy(jnp.float32, carry=jnp.bfloat16)))
    params, x = layer.init(jax.random.key(0)), jnp.ones(2, jnp.float32)
    begin = layer.carry((3,), params)
    with pytest.raises(ValueError, match=r"fixed_points: starts is .*bfloat16.*, wanted float32 at least; .*converts$"):
        fixed_points(layer, params, x, begin)
    wide = jax.tree.map(lambda a: a.astype(jnp.float32), begin)
    assert fixed_points(layer, params, x, wide).converged.tolist() == [True]


def test_starts_and_networks_that_do_not_fit_are_told():
    cell, params = tanh_net(jnp.eye(2))
    nowhere = fixed_points(cell, params, jnp.zeros(1), starts(cell, 4), steps=0, newton=0, slow=1e-9)
    assert nowhere.q.shape == (0,)
    assert nowhere.eigenvalues.shape == (0, 2)
    with pytest.raises(ValueError, match=r"starts.*wanted \[3, 2\]"):
        fixed_points(cell, params, jnp.zeros(1), cell.carry((3,))._replace(h=jnp.zeros((3, 4))))
    both = bidirectional(unroll(cell), unroll(cell, reverse=True))
    with pytest.raises(ValueError, match="wanted one that reads from the start"):
        fixed_points(both, (params, params), jnp.zeros(1), both.carry((3,)))


def test_three_bits_are_kept_in_eight_stable_states():
    """Trained as `jaxrnn train flipflop` does, smaller. Each state gives its bits, and none is between them."""
    config = Flipflop(units=16, length=25, batch=32, pulses=0.2)
    layer = stack(unroll(gru(3, 16)), dense(16, 3))
    params = layer.init(jax.random.key(0))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, 300))

    def loss(params, batch):
        return optax.squared_error(layer.apply(params, layer.carry((32,), params), batch.xs)[1], batch.ys).mean()

    @jax.jit
    def update(params, state, batch):
        batch = jax.tree.map(lambda a: a.astype(float), batch)
        grads = jax.grad(loss)(params, batch)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state

    with jax.numpy_dtype_promotion("standard"):
        state = optimizer.init(params)
        for step in range(300):
            params, state = update(params, state, flipflop(np.random.default_rng([0, step]), config, 32))
    xs = jnp.asarray(flipflop(np.random.default_rng(1), config, 32).xs, float)
    along = trajectory(layer, params, layer.carry((32,), params), xs)
    begin = scattered(along, 128, key=jax.random.key(1), axes=2, noise=0.05)
    found = fixed_points(layer, params, jnp.zeros(3), begin, steps=300)
    stable = np.flatnonzero((unstable(found) == 0) & found.converged)  # by rounding, a slow point may be found as well
    carries = jax.tree.map(lambda a: a[stable], found.carries)
    ys = np.asarray(layer.apply(params, carries, jnp.zeros((1, len(stable), 3)))[1][0])
    assert sorted(map(tuple, np.sign(ys).astype(int))) == sorted(itertools.product((-1, 1), repeat=3))
    assert (found.q[stable] < 1e-8).all()
    np.testing.assert_allclose(np.abs(ys), 1, atol=0.35)
