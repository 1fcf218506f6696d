"""How near the truth each precision comes, for every cell, method and policy; and what is equal bit for bit.

The truth is float64's result for the same numbers: params and inputs are rounded to bfloat16 first, which float32 and
float64 hold exactly, so that what differs is what was rounded on the way.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import N_IN, B, N, T, applied, close, example, loss_and_grads, marks, often, weighed

from jaxrnn import CELLS, Policy, unroll
from jaxrnn.methods import serving

# One rounding to 8 bits a step, as often up as down; the errors that are met are at most half of it.
BFLOAT16 = T**0.5 * 2.0**-8
# XLA's float32 tanh and logistic are right to a few units in the last place of 24 bits: sixteen a step.
FLOAT32 = T**0.5 * 2.0**-20

POLICIES = {
    "float32": (Policy(param=jnp.float32), FLOAT32),
    "bfloat16 products": (Policy(param=jnp.float32, compute=jnp.bfloat16), BFLOAT16),
    "bfloat16 params": (Policy(param=jnp.bfloat16), BFLOAT16),
}
EVERY = [
    pytest.param(name, method, policy, marks=marks(name, not often(name, method)), id=f"{name}-{method}-{policy}")
    for name, make in CELLS.items()
    for method in serving(make(N_IN, N))
    for policy in POLICIES
]
KEYS = jax.random.split(jax.random.key(5), 2)
REAL, NEVER = jnp.ones((T, B), bool), jnp.zeros((T, B), bool)


def as_dtype(tree, dtype):
    return jax.tree.map(lambda a: a.astype(dtype), tree)


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "method", "policy"), EVERY)
def test_values_and_gradients_stand_within_the_rounding(name, method, policy):
    """From the default initialisation; the carry is float32 throughout."""
    policy, tolerance = POLICIES[policy]
    layer = unroll(CELLS[name](N_IN, N, policy=policy), method)
    params = layer.init(KEYS[0])
    params = jax.tree.map(lambda a: a.astype(jnp.bfloat16).astype(a.dtype), params)
    carry = layer.carry((B,), params)
    xs = jax.random.normal(KEYS[1], (T, B, N_IN), jnp.bfloat16).astype(jnp.float32)

    def f(*arguments):
        values = layer.apply(*arguments)
        return weighed(values), values

    measured = jax.jit(jax.value_and_grad(f, (0, 1, 2), has_aux=True))
    (_, values), grads = measured(params, carry, xs)
    assert {leaf.dtype for leaf in jax.tree.leaves(values[0])} == {jnp.dtype(jnp.float32)}
    exactly = *as_dtype((params, carry, xs), jnp.float64), REAL, NEVER
    truth = applied(name, "scan")(*exactly), loss_and_grads(name, "scan")(*exactly)[1]
    close(as_dtype((values, grads), jnp.float64), truth, tolerance)


def test_a_stream_that_is_stopped_goes_on_bit_for_bit():
    """Through one compiled step, with the carry kept as NumPy arrays in between; a padded step changes nothing."""
    e = example("lstm")
    step = applied("lstm", "scan")

    def stream(carry, times, real):
        ys = []
        for t in times:
            now = slice(t, t + 1)
            carry, y = step(e.params, carry, e.xs[now], real[now], NEVER[now])
            ys.append(np.asarray(y))
        return carry, ys

    carry, ys = stream(e.carry, range(T), REAL)
    halfway, first = stream(e.carry, range(2), REAL)
    padded, nothing = stream(jax.tree.map(np.asarray, halfway), range(T), ~REAL)
    resumed, rest = stream(jax.tree.map(np.asarray, padded), range(2, T), REAL)
    close(padded, halfway, 0)
    assert not np.any(nothing)
    close((resumed, first + rest), (carry, ys), 0)
