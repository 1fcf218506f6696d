"""The regulariser of Pascanu et al. 2013: equal to the paper's equations, written out, and the same for any cell."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DERIVED, N_IN, B, N, T, cells, close, example, randomized, weighed

from jaxrnn import bidirectional, elman, gru, stack, truncate, unroll
from jaxrnn.analysis import group_norms, regularised_gradients, step_jacobians
from jaxrnn.gated import small
from jaxrnn.types import Gated

XS = jax.random.normal(jax.random.key(1), (T, B, N_IN))
KEY = jax.random.key(2)


def regularised(layer, params, carry, xs, weight=1.0, loss=lambda carry, ys: jnp.sin(ys).sum(), **where):
    """(the gradient of the loss, that of weight * Omega, Omega by name), compiled."""

    def function(params, carry, xs):
        return loss(*layer.apply(params, carry, xs, **where)), ()

    @jax.jit
    def both(*given):
        _, gradient, omegas = regularised_gradients(function, *given, weight=weight)
        plain, _ = jax.grad(function, has_aux=True)(*given)
        return plain, jax.tree.map(jnp.subtract, gradient, plain), omegas

    return both(params, carry, xs)


def test_an_elman_network_has_equations_9_and_10():
    layer = unroll(elman(N_IN, N))
    params, start = randomized(KEY, layer.init(KEY)), randomized(KEY, layer.carry((B,)))
    _, extra, omegas = regularised(layer, params, start, XS, weight=0.7)

    w_x, w_h, b = map(np.array, params)
    hs = [np.array(start.h)]
    for x in np.array(XS):
        hs.append(np.tanh(x @ w_x + hs[-1] @ w_h + b))
    after, omega, immediate = np.zeros((B, N)), 0.0, np.zeros((N, N))
    for h in hs[:0:-1]:
        push = np.cos(h) + after  # dE/dh_{k+1}: of y_{k+1}, which is h_{k+1}, and of what follows
        made = push * (1 - h**2)
        after = made @ w_h.T  # dE/dh_{k+1} dh_{k+1}/dh_k
        for a, g, d in zip(after, push, made, strict=True):
            ratio = np.linalg.norm(a) / np.linalg.norm(g)
            omega += (ratio - 1) ** 2 / B
            immediate += 2 * (ratio - 1) / np.linalg.norm(g) * np.outer(a, d) / np.linalg.norm(a) / B

    close(omegas, {"elman": omega}, DERIVED)
    close(extra, params._replace(w_x=0 * w_x, w_h=0.7 * immediate, b=0 * b), DERIVED)


def pushes(jacobians, end):
    """dE/dcarry_t for every t, of a loss of the last carry alone whose gradient is `end`."""
    found = [np.concatenate(jax.tree.leaves(end))]
    for jacobian in jacobians[:0:-1]:
        found.append(found[-1] @ jacobian)
    return found[::-1]


@cells(["lstm", "slstm", "lru"])
def test_omega_is_of_all_that_a_cell_carries(name):
    """By step Jacobians; a step that is masked or begins afresh has no part."""
    e = example(name, ())
    layer = unroll(e.cell, "scan")
    where: dict[str, Any] = {"mask": jnp.arange(T) != 3, "reset": jnp.arange(T) == 1}
    *_, omegas = regularised(layer, e.params, e.carry, e.xs, loss=lambda carry, ys: weighed(carry), **where)
    jacobians = np.array(step_jacobians(layer, e.params, e.carry, e.xs, **where))
    end = jax.grad(weighed)(layer.apply(e.params, e.carry, e.xs, **where)[0])
    ratios = [
        np.linalg.norm(push @ jacobian) / np.linalg.norm(push)
        for t, (push, jacobian) in enumerate(zip(pushes(jacobians, end), jacobians, strict=True))
        if t in (2, 4)  # before step 1 the gradient is 0
    ]
    close(omegas, {name: sum((ratio - 1) ** 2 for ratio in ratios)}, DERIVED)


@cells(["lstm", "gru"])
def test_the_matrix_of_a_gated_cell_counts_and_its_gates_are_constants(name):
    """push dcarry'/dcarry = what the gates hand back directly + what they hand back to v, times w_h'."""
    e = example(name, ())
    layer = unroll(e.cell, "scan")
    _, extra, _ = regularised(layer, e.params, e.carry, e.xs, loss=lambda carry, ys: weighed(carry))
    jacobians = np.array(step_jacobians(layer, e.params, e.carry, e.xs))
    end = jax.grad(weighed)(layer.apply(e.params, e.carry, e.xs)[0])
    us, gated = e.cell.project(e.params, e.xs), e.cell.fast
    assert isinstance(gated, Gated)

    def omega(w_h):
        total, carry = 0.0, e.carry
        for u, push in zip(us, pushes(jacobians, end), strict=True):

            def gates(carry, v, u=u):
                return gated.gates(small(e.params), carry, u, v)[0]

            after, back = jax.vjp(gates, carry, carry.h @ e.params.w_h)
            parts = jnp.split(jnp.asarray(push), len(jax.tree.leaves(carry)))
            direct, by_v = back(jax.tree.structure(carry).unflatten(parts))
            handed = jax.tree.leaves(direct._replace(h=direct.h + by_v @ w_h.T))
            total += (jnp.linalg.norm(jnp.concatenate(handed)) / np.linalg.norm(push) - 1) ** 2
            carry = after
        return total

    zeros = jax.tree.map(jnp.zeros_like, e.params)
    close(extra, zeros._replace(w_h=jax.grad(omega)(e.params.w_h)), DERIVED)


def test_every_layer_has_its_own_also_read_from_the_end_and_in_windows():
    forward, backward = unroll(elman(N_IN, N)), unroll(elman(N_IN, N), reverse=True)
    layer = stack(bidirectional(forward, backward), truncate(unroll(gru(2 * N, N)), 2))
    params = randomized(KEY, layer.init(KEY))
    reset = jnp.zeros((T, B), bool).at[2, 0].set(True)
    _, extra, omegas = regularised(layer, params, layer.carry((B,)), XS, reset=reset)
    assert sorted(omegas) == ["elman 0.backward", "elman 0.forward", "gru 1"]
    moved = {name for name, norm in group_norms(extra).items() if norm > 1e-6}  # the rest is rounding
    assert moved == {"0.forward.w_h", "0.backward.w_h", "1.w_h"}


def test_who_reads_from_the_end_has_what_a_reader_of_the_turned_sequence_has():
    reset = jnp.zeros((T, B), bool).at[2, 0].set(True)
    turned = jnp.zeros((T, B), bool).at[T - 2, 0].set(True)  # the same boundary, between 1 and 2
    found = []
    for xs, reverse, where in ((XS, True, reset), (XS[::-1], False, turned)):
        layer = unroll(elman(N_IN, N), reverse=reverse)
        params = randomized(KEY, layer.init(KEY))
        found.append(regularised(layer, params, randomized(KEY, layer.carry((B,))), xs, reset=where))
    close(found[0], found[1], DERIVED)


def test_a_gradient_whose_square_is_no_number_has_its_part():
    layer = unroll(elman(N_IN, N, "identity"))
    start = layer.init(KEY)._replace(w_h=0.01 * jnp.eye(N))
    params, xs, carry = jax.tree.map(
        lambda a: a.astype(jnp.float32), (start, jnp.tile(XS, (3, 1, 1)), layer.carry((B,)))
    )
    *_, omegas = regularised(layer, params, carry, xs, loss=lambda carry, ys: ys[-1].sum())
    np.testing.assert_allclose(omegas["elman"], 3 * T * 0.99**2, rtol=1e-5)  # the first dE/dh is 1e-28 of the last


def test_what_keeps_the_norm_is_left_as_it_is():
    """An orthogonal W_h and no squashing: Omega is 0, and so is its gradient."""
    layer = unroll(elman(N_IN, N, "identity"))
    _, extra, omegas = regularised(layer, layer.init(KEY), layer.carry((B,)), XS)
    close((omegas, extra), jax.tree.map(jnp.zeros_like, (omegas, extra)), DERIVED)


@pytest.mark.parametrize(
    "weight",
    [-1.0, float("nan"), True, None, "4", np.ones(2), np.float32(-1), jnp.array(jnp.nan), np.array(True)],
    ids=["below", "nan", "bool", "none", "str", "two", "below in NumPy", "nan in JAX", "bool in NumPy"],
)
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match=r"regularised_gradients: weight is .*, wanted a number of at least 0"):
        regularised_gradients(lambda params: (params, ()), jnp.ones(()), weight=weight)
