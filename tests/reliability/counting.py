"""A task of the smallest size, for the runs that these tests kill, starve and lie to: count the ones in a sequence.

It has all that a checkpoint can hold: a carry that is handed on, an optimiser's moments, noise, two evaluations.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from jaxrnn import dense, dropout, elman, stack, unroll
from jaxrnn.runner.config import Trained
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.problem import Problem


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counting(Trained):
    """Count."""

    steps: int = 24
    batch: int = 4
    evaluate_every: int = 5
    checkpoint_every: int = 4
    rate: float = 0.01


def drawn(seed: int, step: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    xs = np.random.default_rng([seed, step]).integers(0, 2, (6, batch, 1)).astype(np.float32)
    return xs, xs.sum(0)


def make(config: Counting) -> Problem:
    layer = stack(unroll(elman(1, 4)), dropout(0.1), dense(4, 1))

    @jax.jit
    def off(params, xs, ys):
        return jnp.square(layer.apply(params, layer.carry(xs.shape[1:2], params), xs)[1][-1] - ys).mean()

    def loss(params, carry, batch, key):
        carry, out = layer.apply(params, jax.tree.map(lambda c: 0.5 * c, carry), batch[0], key=key)
        return jnp.square(out[-1] - batch[1]).mean(), carry

    parts = {"valid": drawn(1, 2**20, 8), "test": drawn(2, 2**20, 8)}
    return Problem(
        layer=layer,
        batch=lambda seed, step: drawn(seed, step, config.batch),
        loss=loss,
        evaluate=lambda params, split: {"error": float(off(params, *parts[split]))},
        carry=lambda params: layer.carry((config.batch,), params),
        specs=(P(None, AXIS), P(AXIS)),
        name="error",
        items=config.batch * 6,
        sha256=lambda: "0" * 64,
    )
