"""Two marked numbers among many, to be added or multiplied: Hochreiter & Schmidhuber 1997, experiments 4 and 5.

T to T + T/10 pairs of a number and a mark. One of the first ten is marked with 1, then one of the first T/2 - 1 others;
the first and the last pair have -1. Where the first pair was to be marked its number counts as 0 (added) or 1
(multiplied), since its mark is -1.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Marked(NamedTuple):
    pairs: Float[np.ndarray, "T count 2"]
    numbers: Float[np.ndarray, "count 2"]  # the two that were marked
    lengths: Int[np.ndarray, "count"]


def adding(numbers: np.random.Generator, count: int, T: int) -> Marked:
    """Numbers in [-1, 1]."""
    return marked(numbers, count, T, -1.0, 0.0)


def multiplication(numbers: np.random.Generator, count: int, T: int) -> Marked:
    """Numbers in [0, 1]."""
    return marked(numbers, count, T, 0.0, 1.0)


def marked(numbers: np.random.Generator, count: int, T: int, least: float, neutral: float) -> Marked:
    """Numbers in [least, 1]; `neutral` stands for a marked number of the first pair."""
    each, lengths = np.arange(count), numbers.integers(T, T + T // 10 + 1, count, dtype=np.int32)
    first = numbers.integers(10, size=count)
    second = numbers.integers(T // 2 - 1, size=count)
    second += second >= first  # among those that are left
    pairs = np.zeros((T + T // 10, count, 2), np.float32)
    pairs[:, :, 0] = numbers.uniform(least, 1, pairs.shape[:2])
    both = np.stack([first, second], -1)
    values = np.where(both == 0, np.float32(neutral), pairs[both, each[:, None], 0])
    pairs[both, each[:, None], 1] = 1
    pairs[0, :, 1] = pairs[lengths - 1, each, 1] = -1
    return Marked(pairs, values, lengths)
