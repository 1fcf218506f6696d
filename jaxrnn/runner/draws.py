"""Which examples a step sees: a function of the seed and the step alone."""

import functools

import numpy as np
from jaxtyping import Int


def draw(n: int, batch: int, seed: int, step: int) -> Int[np.ndarray, "batch"]:
    """Places among n examples, all of them once before any comes again: every epoch a permutation of its own."""
    epochs, places = np.divmod(step * batch + np.arange(batch), n)
    return np.array([permutation(n, seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])


@functools.lru_cache(maxsize=32)
def permutation(n: int, seed: int, epoch: int) -> Int[np.ndarray, "n"]:
    return np.random.default_rng([seed, epoch]).permutation(n)
