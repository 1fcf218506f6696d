"""A first symbol to be remembered over noise: Hochreiter & Schmidhuber 1997, experiment 2c.

b, then x or y, then q + k symbols out of p, then e, at which the net must say which of x and y it was. k is drawn anew
for each sequence: another symbol follows with probability 9/10. Here k is at most 50 (99.5 % of the paper's sequences).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

GOES_ON, MOST = 0.9, 50


class Lag(NamedTuple):
    symbols: Int[np.ndarray, "T count"]  # 0 to p - 1 are noise, then e, b, x, y
    second: Int[np.ndarray, "count"]  # 0: x, 1: y
    lengths: Int[np.ndarray, "count"]


def lag(numbers: np.random.Generator, count: int, q: int, p: int) -> Lag:
    e, b, x = p, p + 1, p + 2
    shares = numbers.uniform(GOES_ON ** (MOST + 1), 1, count)
    k = np.minimum(np.floor(np.log(shares) / np.log(GOES_ON)), MOST).astype(np.int32)
    second = numbers.integers(2, size=count, dtype=np.int32)
    symbols = numbers.integers(p, size=(q + MOST + 3, count), dtype=np.int32)
    symbols[0], symbols[1] = b, x + second
    symbols[q + k + 2, np.arange(count)] = e
    return Lag(symbols, second, q + k + 3)
