"""A memory of bits, the network that Sussillo & Barak 2013 look into: each input is silent but for pulses of 1 or -1,
and its output is the sign of the last one. All bits are set at the first step, so that they are known from there on.

With no pulse the right answer stays what it is: a network that has learnt the task stays in one of 2^bits states, which
`jaxrnn inspect` looks for. It is judged by the squared error, and by the share of the bits that are on the wrong side.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxrnn import CELLS, Layer, checks, dense, stack, unroll
from jaxrnn.policy import default_float
from jaxrnn.runner.config import Flipflop
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.draws import apart
from jaxrnn.runner.networks import policy_of, width
from jaxrnn.runner.problem import Probed, Problem

HELD_OUT = 256  # sequences a part


class Batch(NamedTuple):
    xs: Any  # [T, B, bits], whole numbers
    ys: Any  # the same


def make(config: Flipflop, assets: object = None) -> Problem:
    """The problem. Raises ValueError on an unknown cell."""
    checks.choice("flipflop", "cell", config.cell, CELLS)
    layer = network(config)
    judged = {"valid": drawn(config, 0), "test": drawn(config, 1)}

    def outputs(params: PyTree, xs: Array) -> Array:
        return layer.apply(params, layer.carry(xs.shape[1:-1], params), xs)[1]

    def loss(params: PyTree, carry: PyTree, batch: Batch, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        xs = floats(batch.xs)
        xs += config.noise * jax.random.normal(key, xs.shape, xs.dtype)
        return optax.squared_error(outputs(params, xs), floats(batch.ys)).mean(), ()

    @jax.jit
    def scores(params: PyTree, batch: Batch) -> tuple[Array, Array]:
        found, wanted = outputs(params, floats(batch.xs)), floats(batch.ys)
        return optax.squared_error(found, wanted).mean(), (found * wanted <= 0).mean(dtype=found.dtype)

    def evaluate(params: PyTree, split: str) -> dict[str, float]:
        return dict(zip(("mse", "wrong"), map(float, scores(params, judged[split])), strict=True))

    return Problem(
        layer=layer,
        batch=lambda seed, step: flipflop(np.random.default_rng([seed, step]), config, config.batch),
        loss=loss,
        evaluate=evaluate,
        specs=Batch(P(None, AXIS), P(None, AXIS)),
        name="mse",
        item="sequences",
        items=config.batch,
        example=lambda: np.asarray(floats(judged["valid"].xs[:, 0])),
        anchors=lambda split: {"seeing this step alone": alone(judged[split])},
        probed=lambda: probed(judged["valid"]),
        network=network,
        rest=lambda: np.zeros(config.bits, default_float()),
    )


def network(config: Flipflop) -> Layer:
    """One recurrent layer, and a dense one to an output for each bit."""
    policy = policy_of(config)
    recurrent = unroll(CELLS[config.cell](config.bits, config.units, policy=policy))
    return stack(recurrent, dense(width(recurrent, config.bits), config.bits, policy=policy))


def flipflop(numbers: np.random.Generator, config: Flipflop, count: int) -> Batch:
    """Sequences side by side: pulses, and the last one of each input at every step."""
    shape = (config.length, count, config.bits)
    there = numbers.random(shape) < config.pulses
    there[0] = True
    xs = np.where(there, numbers.choice(np.array([-1, 1], np.int8), shape), 0)
    last = np.maximum.accumulate(np.where(there, np.arange(config.length)[:, None, None], 0), axis=0)
    return Batch(xs, np.take_along_axis(xs, last, axis=0))


def drawn(config: Flipflop, part: int) -> Batch:
    """The same for all seeds."""
    return flipflop(apart(part), config, HELD_OUT)


def alone(batch: Batch) -> float:
    """The squared error of the pulse where there is one, and 0 elsewhere."""
    return float((batch.xs == 0).mean())


def probed(batch: Batch, count: int = 32) -> Probed:
    """Some sequences, and the bits that should be kept."""
    bits = range(batch.ys.shape[-1])
    return Probed(np.asarray(floats(batch.xs[:, :count])), {f"bit {k + 1}": batch.ys[:, :count, k] > 0 for k in bits})


def floats(xs: Any) -> Array:
    return jnp.asarray(xs, default_float())
