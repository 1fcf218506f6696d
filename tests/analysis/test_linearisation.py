"""Jacobians and eigenvectors of networks that have them in closed form, against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import Policy, dense, elman, embed, gru, lstm, stack, unroll
from jaxrnn.analysis import fixed_points, flattened, linearised, scattered, step_jacobians, trajectory

N_IN, N = 3, 4
DRAWN = np.random.default_rng(0)
W_X, W_H = DRAWN.normal(size=(N_IN, N)), DRAWN.normal(size=(N, N))
STATES = DRAWN.normal(size=(5, N))


def network(w_h, activation="identity"):
    """h' = activation(x W_x + h W_h), with its params and the carries of STATES."""
    cell = elman(N_IN, N, activation)
    params = cell.init(jax.random.key(0))._replace(w_x=jnp.asarray(W_X), w_h=jnp.asarray(w_h), b=jnp.zeros(N))
    return cell, params, cell.carry((5,))._replace(h=jnp.asarray(STATES))


def holds(found):
    """J r = lambda r, l J = lambda l, |r| = 1, l . r = 1, the largest first."""
    values = found.eigenvalues[..., None]
    np.testing.assert_allclose(found.right @ found.jacobians.swapaxes(1, 2), values * found.right, atol=1e-12)
    np.testing.assert_allclose(found.left @ found.jacobians, values * found.left, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found.right, axis=-1), 1, rtol=1e-12)
    ones = np.broadcast_to(np.eye(found.left.shape[-1]), found.left.shape)
    np.testing.assert_allclose(found.left @ found.right.swapaxes(1, 2), ones, atol=1e-12)
    assert (np.diff(np.abs(found.eigenvalues)) <= 1e-12).all()


def test_a_linear_network_has_its_weights_and_their_eigenvectors():
    """W_h' = R diag(1, 0.9, rho e^(+-i angle)) L, real R and L = R^-1, with a turn in the last two directions."""
    rho, angle = 0.5, 0.7
    R = DRAWN.normal(size=(N, N))
    inner = np.diag([0.9, 1.0, rho * np.cos(angle), rho * np.cos(angle)])
    inner[2, 3], inner[3, 2] = -rho * np.sin(angle), rho * np.sin(angle)
    J = R @ inner @ np.linalg.inv(R)
    cell, params, carries = network(J.T)
    found = linearised(cell, params, jnp.ones(N_IN), carries)
    np.testing.assert_allclose(found.jacobians, np.broadcast_to(J, (5, N, N)), atol=1e-12)
    np.testing.assert_array_equal(found.input_jacobians, np.broadcast_to(W_X.T, (5, N, N_IN)))
    holds(found)
    turns = [rho * np.exp(1j * angle), rho * np.exp(-1j * angle)]
    np.testing.assert_allclose(found.eigenvalues[0][:2], [1, 0.9], atol=1e-12)
    np.testing.assert_allclose(sorted(found.eigenvalues[0][2:], key=np.imag), turns[::-1], atol=1e-12)
    along = R[:, 1] / np.linalg.norm(R[:, 1])
    sign = np.sign(along @ found.right[0, 0].real)
    np.testing.assert_allclose(found.right[0, 0], sign * along, atol=1e-12)
    np.testing.assert_allclose(found.left[0, 0], sign * np.linalg.inv(R)[1] * np.linalg.norm(R[:, 1]), atol=1e-12)


def test_a_tanh_network_has_its_slopes_before_them():
    """J = diag(1 - h'^2) W_h', B = diag(1 - h'^2) W_x', at any state; a layer that reads it out changes nothing."""
    cell, params, carries = network(W_H, "tanh")
    x = DRAWN.normal(size=N_IN)
    slopes = 1 - np.tanh(x @ W_X + STATES @ W_H)[..., None] ** 2
    for each, p, c in (
        (cell, params, carries),
        (stack(unroll(cell), dense(N, 2)), (params, dense(N, 2).init(jax.random.key(1))), (carries, ())),
    ):
        found = linearised(each, p, jnp.asarray(x), c)
        np.testing.assert_allclose(found.jacobians, slopes * W_H.T, atol=1e-12)
        np.testing.assert_allclose(found.input_jacobians, slopes * W_X.T, atol=1e-12)
        holds(found)
        assert found.eigenvalues.dtype == complex


def test_the_selection_vector_says_what_a_line_attractor_integrates():
    """J = r l' with l . r = 1: the one line through r; of every x what l B says is kept, the rest is gone in a step."""
    r, l = DRAWN.normal(size=(2, N))
    l = l / (l @ r)
    cell, params, carries = network(np.outer(l, r))
    found = linearised(cell, params, jnp.zeros(N_IN), carries)
    holds(found)  # the eigenvalue 0 is there three times
    np.testing.assert_allclose(found.eigenvalues[:, 0], 1, atol=1e-12)
    xs = DRAWN.normal(size=(20, N_IN))
    kept = (found.left[0, 0] @ found.input_jacobians[0] @ xs.sum(0)).real
    layer = unroll(cell)
    after = trajectory(layer, params, layer.carry(()), jnp.concatenate([jnp.asarray(xs), jnp.zeros((1, N_IN))]))
    np.testing.assert_allclose(flattened(after)[-1], kept * found.right[0, 0].real, atol=1e-12)


def test_a_symbol_has_a_column_of_its_own():
    layer = stack(embed(6, 2), unroll(elman(2, N, "identity")))
    params = layer.init(jax.random.key(0))
    found = linearised(layer, params, jnp.array(4), layer.carry((2,), params))
    wanted = (params[0].w @ params[1].w_x).T
    np.testing.assert_allclose(found.input_jacobians, np.broadcast_to(wanted, (2, N, 6)), atol=1e-12)
    with pytest.raises(ValueError, match="linearised: x is 6, wanted a symbol from 0 to 5"):
        linearised(layer, params, jnp.array(6), layer.carry((2,), params))
    with pytest.raises(ValueError, match=r"linearised: x is float\d\d\[1, 6\], wanted \[n_in\]"):
        linearised(layer, params, jnp.array([4]), layer.carry((2,), params))


def test_the_state_of_an_lstm_is_all_its_numbers():
    layer = unroll(lstm(N_IN, 2), "scan")
    params, x = layer.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (N_IN,))
    carries = trajectory(layer, params, layer.carry(()), jnp.ones((7, N_IN)))
    found = linearised(layer, params, x, carries)
    holds(found)
    for k in range(7):
        one = jax.tree.map(lambda a, k=k: a[k], carries)
        np.testing.assert_allclose(found.jacobians[k], step_jacobians(layer, params, one, x[None])[0], atol=1e-12)
        ends = [
            np.concatenate(jax.tree.leaves(layer.apply(params, one, (x + d)[None])[0]))
            for d in (1e-6 * np.eye(N_IN)[0], -1e-6 * np.eye(N_IN)[0])
        ]
        np.testing.assert_allclose(found.input_jacobians[k, :, 0], (ends[0] - ends[1]) / 2e-6, atol=1e-8)
    both = jax.tree.map(lambda a: a.reshape(1, 7, -1), carries)
    np.testing.assert_array_equal(flattened(both, 2)[0], np.concatenate(jax.tree.leaves(carries), -1))
    assert flattened(layer.carry(()), 0).shape == (4,)


def test_eigenvalues_are_those_of_the_fixed_points():
    layer = unroll(gru(2, 8))
    params = layer.init(jax.random.key(0))
    starts = scattered(layer.carry((1,), params), 4, key=jax.random.key(1), noise=0.5)
    found = fixed_points(layer, params, jnp.ones(2), starts)
    near = linearised(layer, params, jnp.ones(2), found.carries)
    np.testing.assert_allclose(near.eigenvalues, found.eigenvalues, atol=1e-12)
    nothing = jax.tree.map(lambda a: a[:0], found.carries)
    assert [a.shape for a in linearised(layer, params, jnp.ones(2), nothing)] == [
        (0, 8, 8),
        (0, 8, 2),
        (0, 8),
        (0, 8, 8),
        (0, 8, 8),
    ]


def test_directions_that_are_one_leave_the_others_as_they_are():
    """A shift register, [[0, 1], [0, 0]] in two directions: these have no left . right = 1; the others have."""
    J = np.diag([0.9, 0.5, 0, 0])
    J[2, 3] = 1
    cell, params, carries = network(J.T)
    found = linearised(cell, params, jnp.zeros(N_IN), carries)
    products = (found.left * found.right).sum(-1)[0]
    np.testing.assert_allclose(products, [1, 1, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(np.abs(found.left[0, :2]), np.eye(N)[:2], atol=1e-12)


def test_what_does_not_fit_is_told():
    cell, params, carries = network(W_H)
    with pytest.raises(ValueError, match=r"linearised: carries.h is float64\[5, 2\], wanted \[5, 4\]; axis 0 counts"):
        linearised(cell, params, jnp.zeros(N_IN), carries._replace(h=carries.h[:, :2]))
    with pytest.raises(ValueError, match=r"linearised: carries is .*, wanted a carry of states along axis 0$"):
        linearised(cell, params, jnp.zeros(N_IN), ())
    narrow = gru(N_IN, N, policy=Policy(jnp.float32, carry=jnp.bfloat16))
    with pytest.raises(ValueError, match=r"linearised: carries is .*bfloat16.*, wanted float32 at least; .*converts$"):
        linearised(narrow, narrow.init(jax.random.key(0)), jnp.zeros(N_IN, jnp.float32), narrow.carry((2,)))
    with pytest.raises(ValueError, match=r"linearised: x is int64\[3\], wanted floating point; x.astype"):
        linearised(cell, params, jnp.zeros(N_IN, int), carries)
    with pytest.raises(ValueError, match=r"linearised: x has 0 axes, wanted \[n_in\], or a whole number for"):
        linearised(cell, params, jnp.array(2), carries)
    with pytest.raises(ValueError, match=r"linearised: network has unroll\(..., reverse=True\), wanted one that reads"):
        linearised(unroll(cell, reverse=True), params, jnp.zeros(N_IN), carries)
    bent, params, carries = network(W_H, "tanh")
    with pytest.raises(
        ValueError, match=r"linearised: the Jacobian of carries\[2\] is not finite; leave that state out"
    ):
        linearised(bent, params, jnp.zeros(N_IN), carries._replace(h=carries.h.at[2].set(jnp.nan)))
    with pytest.raises(ValueError, match=r"scattered: carries is \(\), wanted a carry of states along axis 0"):
        scattered((), 3, key=jax.random.key(0))
