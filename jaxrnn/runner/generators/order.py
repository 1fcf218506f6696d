"""In which order came X and Y? Hochreiter & Schmidhuber 1997, experiments 6a (two of them) and 6b (three).

E, then noise of a, b, c, d, with an X or a Y somewhere within each of the spans, then B at which the net must say which
of the 4 or 8 orders it was. 100 to 110 symbols.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

SYMBOLS = "abcdXYEB"
X, E, B = SYMBOLS.index("X"), SYMBOLS.index("E"), SYMBOLS.index("B")
SPANS = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
SHORTEST, LONGEST = 100, 110


class Order(NamedTuple):
    symbols: Int[np.ndarray, "T count"]
    which: Int[np.ndarray, "count"]  # X is 0 and Y 1, the first counts most: XX 0, XY 1, YX 2, YY 3
    lengths: Int[np.ndarray, "count"]


def order(numbers: np.random.Generator, count: int, marks: int) -> Order:
    each, lengths = np.arange(count), numbers.integers(SHORTEST, LONGEST + 1, count, dtype=np.int32)
    symbols = numbers.integers(4, size=(LONGEST, count), dtype=np.int32)
    symbols[0], symbols[lengths - 1, each] = E, B
    which = np.zeros(count, np.int32)
    for low, high in SPANS[marks]:
        ys = numbers.integers(2, size=count, dtype=np.int32)
        symbols[numbers.integers(low, high + 1, count), each] = X + ys
        which = 2 * which + ys
    return Order(symbols, which, lengths)
