"""Which examples a step sees, and its noise: functions of the seed and the step alone."""

import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Int, PRNGKeyArray


def draw(n: int, batch: int, seed: int, step: int) -> Int[np.ndarray, "batch"]:
    """Places among n examples, all of them once before any comes again: every epoch a permutation of its own."""
    epochs, places = np.divmod(step * batch + np.arange(batch), n)
    return np.array([permutation(n, seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])


def apart(part: int) -> np.random.Generator:
    """For what is judged: other numbers than those of any [seed, step], which for NumPy is [seed, step, 0]."""
    return np.random.default_rng([0, part, 1])


def noise(seed: Any, step: Any) -> PRNGKeyArray:
    """The key of the step that comes after `step` others."""
    return jax.random.fold_in(jax.random.split(jax.random.key(seed), 3)[1], step + 1)


@functools.lru_cache(maxsize=32)
def permutation(n: int, seed: int, epoch: int) -> Int[np.ndarray, "n"]:
    return np.random.default_rng([seed, epoch]).permutation(n)
