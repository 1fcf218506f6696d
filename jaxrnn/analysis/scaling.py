"""How measured time grows: seconds = a size^k, fitted in logarithms.

k near 1 along T and B, and between 1 and 2 along the width, is what the operations say; less means that time goes to
what does not grow, more that something has left a cache.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from jaxrnn import checks
from jaxrnn.analysis.complexity import batch_of, training_step
from jaxrnn.types import Layer


class PowerLaw(NamedTuple):
    """seconds = constant * size^exponent."""

    exponent: float
    constant: float
    r2: float  # the share of the variance of log seconds that the line explains

    def __call__(self, size: float) -> float:
        return self.constant * size**self.exponent


def power_law(sizes: Sequence[float], seconds: Sequence[float]) -> PowerLaw:
    """The line through (log size, log seconds) by least squares. Raises ValueError on fewer than two sizes."""
    if len(set(sizes)) < 2 or len(sizes) != len(seconds) or min([*sizes, *seconds]) <= 0:
        came = f"{len(sizes)} sizes and {len(seconds)} seconds"
        raise ValueError(f"power_law: {came}, wanted as many of each, all above 0, and two different sizes")
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(seconds, float))
    slope, offset = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    left = float(((y - slope * x - offset) ** 2).sum())
    return PowerLaw(float(slope), float(np.exp(offset)), 1 - left / spread if spread > 0 else 1.0)


def training_seconds(layer: Layer, xs: Array, rounds: int = 5) -> float:
    """The median time of a compiled training step on xs, values and gradient, after one that is not counted.

    Time comes first; raises ValueError on a batch_major layer.
    """
    checks.layer("training_seconds", "layer", layer)
    checks.size("training_seconds", rounds=rounds)
    params = jax.jit(layer.init)(jax.random.key(0))
    carry = layer.carry(batch_of("training_seconds", layer, xs), params)
    step = jax.jit(training_step(layer))
    jax.block_until_ready(step(params, carry, xs))
    return statistics.median(_seconds(step, params, carry, xs) for _ in range(rounds))


def time_against(
    make: Callable[[int], tuple[Layer, Array]], sizes: Sequence[int], rounds: int = 5
) -> tuple[dict[int, float], PowerLaw]:
    """({size: seconds of a training step}, their law) for make(size) -> (layer, xs): along T, B or the width."""
    found = {size: training_seconds(*make(size), rounds=rounds) for size in sizes}
    return found, power_law(list(found), list(found.values()))


def _seconds(step: Callable[..., Any], *arguments: Any) -> float:
    began = time.perf_counter()
    jax.block_until_ready(step(*arguments))
    return time.perf_counter() - began
