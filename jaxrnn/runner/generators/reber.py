"""Strings of Reber's grammar, and of the one that embeds it (Cleeremans et al. 1989, Smith & Zipser 1989).

An embedded string is B, T or P, a Reber string, the same of T and P once more, E: what its second symbol was must be
remembered until the last but one. The continual grammar has one embedded string after another (Gers et al. 2000).

         T --> 2 (S) --- X --> 4 --- S ---.
    B  1       |               ^ X|       +--> 6 - E
         P --> 3 (T) --- V --> 5 --- V ---'           (X leads from 4 to 3, P from 5 to 4)
"""

from collections.abc import Collection, Hashable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

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


def embedded_strings(numbers: np.random.Generator, count: int, apart_from: Collection[str] = ()) -> list[str]:
    """Embedded strings as they are drawn, short ones again and again, but for those of another set."""
    drawn: list[str] = []
    while len(drawn) < count:
        string = embedded(numbers)
        if string not in apart_from:
            drawn.append(string)
    return drawn


class Chain(NamedTuple):
    """A grammar as places, 0 the first, from each of which two ways lead on; where there is but one, it is both."""

    symbols: Int[np.ndarray, "places 2"]  # what is read on either way, as places in SYMBOLS
    to: Int[np.ndarray, "places 2"]  # where it leads
    may: Bool[np.ndarray, "places symbols"]  # what may come next
    kept: list[str]  # what has to be remembered there


def continual() -> Chain:
    """Embedded strings one after another, without end."""
    ways: dict[Hashable, dict[str, Hashable]] = {"begin": {"B": "mark"}, "mark": {"T": ("T", 0), "P": ("P", 0)}}
    for mark in "TP":
        for state, on in GRAMMAR.items():
            ways[mark, state] = {symbol: (mark, to) for symbol, to in on.items()}
        ways[mark, 7] = {mark: "end"}
    ways["end"] = {"E": "begin"}
    places = {name: k for k, name in enumerate(ways)}
    pairs = [[(SYMBOLS.index(symbol), places[to]) for symbol, to in on.items()] for on in ways.values()]
    both = np.array([pair if len(pair) == 2 else pair * 2 for pair in pairs], np.int32)
    symbols, to = both[..., 0], both[..., 1]
    may = (symbols[..., None] == np.arange(len(SYMBOLS))).any(1)
    return Chain(symbols, to, may, [name[0] if isinstance(name, tuple) else "" for name in ways])
