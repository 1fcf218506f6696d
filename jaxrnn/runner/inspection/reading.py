"""What a reader of a text keeps track of, symbol by symbol: the labels that units of a language model are tried on.

A symbol is a character or a word. Each label at step t is of the text up to and with symbol t, as the state is.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

OPENING, CLOSING = "([{", ")]}"
QUOTES = {'"': '"', "\u201c": "\u201d"}  # typographic ones have ends of their own


def labels(symbols: Sequence[str]) -> dict[str, np.ndarray]:
    """By name, one for each symbol."""
    characters = all(len(symbol) == 1 for symbol in symbols)
    return {name: np.array(list(label(symbols))) for name, label in (CHARACTERS if characters else WORDS).items()}


def enough(label: np.ndarray, least: int = 20) -> bool:
    """Whether it is there often enough, and often enough not, to be found; of a number, whether it varies."""
    if label.dtype == bool:
        return least <= label.sum() <= label.size - least
    return len(np.unique(label)) > 2


def since(begins: Callable[[str], bool], counts: Callable[[str], bool] = lambda symbol: True) -> Callable:
    """How many symbols that count there were since one that begins anew."""

    def label(symbols: Sequence[str]) -> Iterator[float]:
        n = 0.0
        for symbol in symbols:
            n = 0.0 if begins(symbol) else n + counts(symbol)
            yield n

    return label


def inside_quotes(symbols: Sequence[str]) -> Iterator[bool]:
    """Until the quotation ends, or the paragraph does."""
    wanted = None
    for before, symbol in itertools.pairwise(["", *symbols]):
        if wanted == symbol or (before == symbol == "\n"):
            wanted = None
        elif wanted is None:
            wanted = QUOTES.get(symbol)
        yield wanted is not None


def inside_brackets(symbols: Sequence[str]) -> Iterator[bool]:
    """Until they close, or the paragraph ends."""
    depth = 0
    for before, symbol in itertools.pairwise(["", *symbols]):
        depth = 0 if before == symbol == "\n" else max(depth + (symbol in OPENING) - (symbol in CLOSING), 0)
        yield depth > 0


def indented(symbols: Sequence[str]) -> Iterator[bool]:
    """Whether the line began with two spaces or more."""
    place, spaces = 0, 0
    for symbol in symbols:
        place, spaces = (0, 0) if symbol == "\n" else (place + 1, spaces + (symbol == " " and spaces == place))
        yield spaces > 1


def each(holds: Callable[[str], bool]) -> Callable:
    return lambda symbols: map(holds, symbols)


def is_word(symbol: str) -> bool:
    return symbol[0].isalnum() or symbol[0] == "_"


EITHER = {
    "inside quotes": inside_quotes,
    "inside brackets": inside_brackets,
}
CHARACTERS = {
    "place in line": since(lambda c: c == "\n"),
    "place in word": since(lambda c: not is_word(c)),
    "words so far in line": since(lambda c: c == "\n", lambda c: c == " "),
    **EITHER,
    "line is indented": indented,
    "capital letter": each(str.isupper),
    "digit": each(str.isdigit),
    "space or line's end": each(str.isspace),
    "vowel": each(lambda c: c in "aeiouAEIOU"),
}
WORDS = {
    "place in line": since(lambda w: w == "\n"),
    "place in sentence": since(lambda w: w in (".", "!", "?")),
    "words since a comma": since(lambda w: w in (",", ".", "\n")),
    **EITHER,
    "begins with a capital": each(lambda w: w[0].isupper()),
    "sign, no word": each(lambda w: not is_word(w)),
}
