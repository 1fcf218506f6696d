"""A text as symbols: its characters, its words, or the tokens of a text that somebody has split already.

A word is a run of letters and digits, with apostrophes and hyphens inside it (don't, well-known); every other character
but space is a word of its own, a line's end included; capitals count. A token is what stands between spaces, and a
line's end. `<unk>` stands for a word that the vocabulary lacks, also where the file has it already. A vocabulary of
characters is a string, one of words or tokens a list.
"""

import collections
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Array, Int

Level = Literal["characters", "words", "tokens"]
Symbols = str | list[str]

UNKNOWN = "<unk>"
WORD = re.compile("<unk>|\\w+(?:['\u2019-]\\w+)*|[^\\w\\s]|\n")  # \u2019: the apostrophe that books have
TOKEN = re.compile("\\S+|\n")
NO_SPACE_BEFORE = frozenset(".,;:!?)]}%\n\u2019\u201d\u2026")  # closing quotation marks, dots
NO_SPACE_AFTER = frozenset("([{\n\u2018\u201c")  # opening ones


def split(text: str, level: Level) -> Symbols:
    return text if level == "characters" else (WORD if level == "words" else TOKEN).findall(text)


def commonest(words: Sequence[str], most: int) -> list[str]:
    """<unk>, then the most frequent words, `most` with it.

    Each is there twice or more, so that <unk> is met too; where the words have it already, once is enough.
    """
    counts = collections.Counter(words)
    least = 1 if counts.pop(UNKNOWN, 0) else 2
    often = sorted((word for word, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))
    return [UNKNOWN, *often[: most - 1]]


def encode(symbols: Symbols, vocabulary: Symbols, argument: str = "prompt") -> Int[np.ndarray, "T"]:
    """Symbols as their places in the vocabulary. Raises ValueError on a character that it lacks."""
    places = {symbol: place for place, symbol in enumerate(vocabulary)}
    if isinstance(vocabulary, list):
        return np.array([places.get(word, 0) for word in symbols], np.int32)
    try:
        return np.array([places[character] for character in symbols], np.int32)
    except KeyError as error:
        has = f"the {len(vocabulary)} characters of the training text"
        raise ValueError(f"{argument}: {error} is not among {has}") from None


def opening(vocabulary: Symbols) -> Int[np.ndarray, "1"]:
    """What stands before an empty prompt: a line break, or where the text has none, its first symbol."""
    return encode(["\n"] if "\n" in vocabulary else [vocabulary[0]], vocabulary)


def decode(places: Array | np.ndarray, vocabulary: Symbols, level: Level) -> str:
    return written([vocabulary[place] for place in np.asarray(places)], level)


def written(symbols: Sequence[str], level: Level) -> str:
    """The text that `split` makes these symbols of."""
    if level == "tokens":
        return " ".join(symbols).replace(" \n", "\n").replace("\n ", "\n")
    return "".join(symbols) if level == "characters" else spaced(symbols)


def spaced(words: Sequence[str]) -> str:
    """Words as a text is written: none before a full stop or a line's end, nor after a bracket that opens."""
    text, before = "", "\n"
    for word in words:
        text += word if before in NO_SPACE_AFTER or word in NO_SPACE_BEFORE else f" {word}"
        before = word
    return text
