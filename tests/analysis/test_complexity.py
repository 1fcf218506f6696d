"""Costs against closed forms, and against what XLA counts in the same step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import CELLS, batch_major, bidirectional, dense, embed, gru, last, lstm, stack, unroll
from jaxrnn.analysis import (
    Work,
    activation_bytes,
    checkpointed,
    complexity,
    cost,
    count,
    equal_parameters,
    memory_against_T,
    parameters,
    power_law,
    time_against,
    training_seconds,
)

T, B, N_IN, N = 7, 3, 8, 16
XS = jax.ShapeDtypeStruct((T, B, N_IN), jnp.float32)
BLOCKS = {"elman": 1, "lstm": 4, "gru": 3}
# Beside the products, for each unit of a step of one sequence: additions and multiplications, and values of tanh or s.
#   elman   + b, + v                                                                            tanh
#   lstm    4 (+ b, + v), 4 halved before tanh, 3 (0.5 + 0.5 tanh), f c + i g, o tanh(c)        4 gates and tanh(c)
#   gru     3 (+ b), r and z + v, r (v + b_n) + u, (1 - z) n + z h                              r, z, n
ELEMENTWISE = {"elman": (2, 1), "lstm": (8 + 4 + 6 + 3 + 1, 5), "gru": (3 + 2 + 3 + 4, 3)}


@pytest.mark.parametrize("name", BLOCKS)
def test_equals_the_closed_form(name):
    k = BLOCKS[name]
    whole = complexity(unroll(CELLS[name](N_IN, N)), XS)["all"]
    forward, training = whole.per_step(whole.forward), whole.per_step(whole.training)
    bias = N * (k + (name == "gru"))
    assert whole.parameters == k * N * (N_IN + N) + bias
    assert forward.products == 2 * k * N * (N_IN + N)
    assert (forward.elementwise / N, forward.transcendental / N) == ELEMENTWISE[name]
    # again for the weights' gradient, and once for the gradient that goes back through h
    assert training.products == 2 * forward.products + 2 * k * N * N
    assert training.transcendental == forward.transcendental  # slopes are taken from the values


@pytest.mark.parametrize("name", BLOCKS)
def test_a_step_counts_as_xla_counts_it(name):
    cell = CELLS[name](N_IN, N)
    params = jax.eval_shape(cell.init, jax.random.key(0))
    u = jax.eval_shape(lambda p, xs: cell.project(p, xs)[0], params, XS)
    carry = jax.eval_shape(lambda: cell.carry((B,)))
    ours = count(cell.step, params, carry, u)
    xla = jax.jit(cell.step).lower(params, carry, u).cost_analysis() or {}
    gates = 2 * N * B if name == "gru" else 0  # XLA writes s(x) as 1 / (1 + exp(-x)): three operations more
    assert xla["flops"] == ours.products + ours.elementwise + 3 * gates
    assert xla["transcendentals"] == ours.transcendental


def test_bytes_of_a_step_are_its_operands():
    """By the product: h and W_h read, v written. By the loop: h and u read, h and y written. Once: x, W_x and u."""
    whole = complexity(unroll(CELLS["elman"](N_IN, N), "scan"), XS)["all"]
    hoisted = N_IN * N + T * B * (N_IN + N)
    step = (B * N + N * N + B * N) + (B * N + B * N) + (B * N + B * N)
    assert whole.forward.bytes == 8 * (hoisted + T * step)  # params, and so all else, are float64 here


def test_layers_add_up_to_the_whole():
    both = bidirectional(unroll(gru(N, 5)), unroll(lstm(N, 5), reverse=True))
    layer = stack(embed(11, N), both, unroll(lstm(10, 6)), dense(6, 11))
    found = complexity(layer, jax.ShapeDtypeStruct((T, B), jnp.int32))
    assert list(found) == ["gru 1.forward", "lstm 1.backward", "lstm 2", "others", "all"]
    assert found["others"].parameters == 11 * N + 6 * 11 + 11
    assert found["others"].forward.products == 2 * 6 * 11 * T * B
    assert found["others"].training.products == 3 * 2 * 6 * 11 * T * B
    for part in ("forward", "training"):
        rows = [getattr(each, part).products for name, each in found.items() if name != "all"]
        assert sum(rows) == getattr(found["all"], part).products


def test_a_layer_with_the_batch_first_is_refused():
    inside = stack(unroll(lstm(2, 3)), dense(3, 1))
    for layer in (batch_major(inside), stack(batch_major(unroll(lstm(2, 3))), dense(3, 1))):
        for owner, f in (
            ("complexity", complexity),
            ("complexity", cost),
            ("activation_bytes", activation_bytes),
            ("training_seconds", training_seconds),
            ("memory_against_T", lambda layer, xs: memory_against_T(layer, xs, [4])),
        ):
            with pytest.raises(
                ValueError, match=rf"^{owner}: layer reads through batch_major.*wanted time first; give"
            ):
                f(layer, jnp.ones((2, 5, 2)))


def test_loops_count_as_often_as_they_run_and_branches_once():
    w = jnp.ones((4, 4))

    def looped(x):
        return jax.lax.scan(lambda x, _: (x @ w, None), x, None, length=10)[0]

    assert count(looped, jnp.ones((2, 4))).products == 10 * 2 * 2 * 4 * 4
    branch = count(lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ w, lambda x: x + 1, x), jnp.ones((2, 4)))
    assert branch.products == 2 * 2 * 4 * 4
    assert Work(1, 2, 3, 4).flops == 6


def test_equal_parameters_finds_the_nearest_width():
    wanted = parameters(unroll(lstm(N_IN, N)))
    width = equal_parameters(lambda n: unroll(gru(N_IN, n)), wanted)
    gaps = {n: abs(parameters(unroll(gru(N_IN, n))) - wanted) for n in range(width - 2, width + 3)}
    assert min(gaps, key=lambda n: gaps[n]) == width
    with pytest.raises(ValueError, match=r"equal_parameters: make\(1\) has \d+ parameters, wanted at most 3"):
        equal_parameters(lambda n: unroll(gru(N_IN, n)), 3)


def test_checkpoints_keep_less_of_a_long_sequence():
    layer = last(stack(unroll(lstm(2, 8)), dense(8, 1)))
    found = memory_against_T(layer, jax.ShapeDtypeStruct((1, 4, 2), jnp.float32), [64, 1024])
    plain, saving = found["plain"], found["checkpoint"]
    assert 12 < plain[1024] / plain[64] < 20  # with T
    assert saving[1024] < plain[1024] / 2
    states = 1024 * 4 * 8 * 4 * 2  # h and c of every step in float32 must be there somehow
    assert plain[1024] > states


def test_a_layer_made_again_is_the_same_with_checkpoints():
    layer = stack(bidirectional(unroll(gru(2, 3)), unroll(gru(2, 3), reverse=True)), dense(6, 2))
    again = checkpointed(layer, "sqrt")
    assert again.spec == checkpointed(again, "sqrt").spec != layer.spec == checkpointed(again, None).spec
    custom = layer._replace(spec=layer.spec and layer.spec._replace(name="mine"))
    with pytest.raises(ValueError, match="checkpointed: the layer has a part 'mine', wanted it made of jaxrnn's own"):
        checkpointed(custom, 4)


def test_a_power_law_is_found_exactly():
    sizes = [10, 20, 50, 80]
    law = power_law(sizes, [3e-6 * size**1.5 for size in sizes])
    np.testing.assert_allclose((law.exponent, law.constant, law.r2), (1.5, 3e-6, 1), rtol=1e-9)
    np.testing.assert_allclose(law(100), 3e-3, rtol=1e-9)
    with pytest.raises(ValueError, match="power_law: 2 sizes and 2 seconds, wanted as many of each"):
        power_law([4, 4], [1.0, 2.0])


def test_measured_time_has_a_law():
    def make(size):
        return unroll(gru(2, 3)), jnp.zeros((size, 2, 2))

    found, law = time_against(make, [4, 8], rounds=1)
    assert list(found) == [4, 8]
    assert all(seconds > 0 for seconds in found.values())
    np.testing.assert_allclose([law(4), law(8)], list(found.values()), rtol=1e-9)


def test_memory_is_that_of_what_the_backward_pass_keeps():
    """A stack of two keeps more than one of its layers."""
    one = activation_bytes(unroll(gru(4, 4)), jax.ShapeDtypeStruct((50, 2, 4), jnp.float32))
    two = activation_bytes(stack(unroll(gru(4, 4)), unroll(gru(4, 4))), jax.ShapeDtypeStruct((50, 2, 4), jnp.float32))
    assert two > 1.5 * one
