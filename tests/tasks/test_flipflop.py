"""The memory of bits: what is shown, what is to be kept, and what is counted as wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.runner.config import Flipflop
from jaxrnn.runner.tasks import flipflop


def test_each_output_is_the_last_pulse_of_its_input():
    batch = flipflop.flipflop(np.random.default_rng(0), Flipflop(bits=2, length=50, pulses=0.2), 100)
    assert set(np.unique(batch.xs)) == {-1, 0, 1}
    kept = batch.xs[0]
    for x, y in zip(batch.xs, batch.ys, strict=True):
        kept = np.where(x != 0, x, kept)
        np.testing.assert_array_equal(y, kept)
    assert batch.ys.all(), "a bit is set at the first step"
    assert (batch.xs[1:] != 0).mean() == pytest.approx(0.2, abs=0.02)  # five deviations of 9,800 draws


def test_the_parts_and_the_batches_differ():
    config = Flipflop(batch=flipflop.HELD_OUT)
    problem = flipflop.make(config)
    drawn = [flipflop.drawn(config, 0), flipflop.drawn(config, 1), problem.batch(0, 0), problem.batch(0, 1)]
    assert len({batch.xs.tobytes() for batch in drawn}) == 4


def test_a_net_that_sees_no_input_is_wrong_at_every_step_and_one_that_sees_the_pulse_is_the_anchor():
    problem = flipflop.make(Flipflop(units=4))
    params = jax.tree.map(jnp.zeros_like, problem.layer.init(jax.random.key(0)))
    with jax.numpy_dtype_promotion("standard"):
        found = problem.evaluate(params, "test")
    assert found == {"mse": 1.0, "wrong": 1.0}
    assert problem.anchors("test")["seeing this step alone"] == pytest.approx(0.9 * 99 / 100, abs=0.01)
