"""Strings of Reber's grammar, and of the one that embeds it (Cleeremans et al. 1989, Smith & Zipser 1989).

An embedded string is B, T or P, a Reber string, the same of T and P once more, E: what its second symbol was must be
remembered until the last but one.

         T --> 2 (S) --- X --> 4 --- S ---.
    B  1       |               ^ X|       +--> 6 - E
         P --> 3 (T) --- V --> 5 --- V ---'           (X leads from 4 to 3, P from 5 to 4)
"""

import numpy as np

SYMBOLS = "BTPSXVE"
GRAMMAR = {  # state -> {symbol: next state}; a string ends in 7
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
}


def reber(numbers: np.random.Generator) -> str:
    """A string of the grammar; where it branches, both ways are equally likely."""
    string, state = "", 0
    while state in GRAMMAR:
        ways = sorted(GRAMMAR[state])
        symbol = ways[numbers.integers(len(ways))]
        string, state = string + symbol, GRAMMAR[state][symbol]
    return string


def embedded(numbers: np.random.Generator) -> str:
    mark = "TP"[numbers.integers(2)]
    return f"B{mark}{reber(numbers)}{mark}E"


def following(string: str) -> list[str]:
    """For each symbol of an embedded string but the last, the symbols that may come after it."""
    state, after = 0, ["TP"]
    for symbol in string[2:-2]:
        after.append("".join(sorted(GRAMMAR[state])))
        state = GRAMMAR[state][symbol]
    return [*after, string[1], "E"]


def distinct(numbers: np.random.Generator, count: int) -> list[str]:
    """Embedded strings, no two alike, in the order in which they were drawn."""
    strings: dict[str, None] = {}
    while len(strings) < count:
        strings[embedded(numbers)] = None
    return list(strings)
