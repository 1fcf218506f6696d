"""Sentences with a tag for each word, and how phrases are found in them and judged.

A phrase is B-kind and the I-kind after it. As CoNLL's own judge has it (Tjong Kim Sang & Buchholz 2000), an I-kind that
goes on with nothing begins a phrase too, and a phrase is found where its kind and both its ends are right.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxrnn.runner.users_files import read_text

WANTED = "sentences with tags: a word and its tag a line and empty lines between sentences, or as in ATIS"
OUTSIDE = "O"


class Tagged(NamedTuple):
    words: list[str]
    tags: list[str]


def read_tagged(path: Path, argument: str = "data") -> list[Tagged]:
    """Raises ValueError where the file is of neither kind, naming the line."""
    lines = read_text(path, WANTED, argument).split("\n")
    read = atis if lines[0].startswith("BOS ") and "\t" in lines[0] else columns
    found = list(read(lines, f"{argument}: {path}"))
    if not found:
        raise ValueError(f"{argument}: {path} has no sentence, wanted {WANTED}")
    return found


def atis(lines: Sequence[str], told: str) -> Iterator[Tagged]:
    """BOS word ... EOS, a tab, O tag ... intent: the last tag is the whole sentence's, and is left out."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        words, _, tags = line.partition("\t")
        words, tags = words.split(), tags.split()
        if len(words) != len(tags) or len(words) < 3 or (words[0], words[-1]) != ("BOS", "EOS"):
            raise ValueError(
                f"{told}, line {number} has {len(words)} words and {len(tags)} tags, wanted as many of both"
            )
        yield checked(Tagged(words[1:-1], tags[1:-1]), f"{told}, line {number}")


def columns(lines: Sequence[str], told: str) -> Iterator[Tagged]:
    """The first column is the word and the last its tag."""
    sentence = Tagged([], [])
    for number, line in enumerate([*lines, ""], 1):
        parts = line.split()
        if len(parts) == 1:
            raise ValueError(f"{told}, line {number} is {line.strip()[:40]!r}, wanted a word and its tag")
        if parts:
            sentence.words.append(parts[0])
            sentence.tags.append(parts[-1])
            checked(Tagged(parts[:1], parts[-1:]), f"{told}, line {number}")
        elif sentence.words:
            yield sentence
            sentence = Tagged([], [])


def checked(sentence: Tagged, told: str) -> Tagged:
    for tag in sentence.tags:
        if tag != OUTSIDE and not re.fullmatch("[BI]-.+", tag):
            raise ValueError(f"{told} has the tag {tag[:40]!r}, wanted O, B-KIND or I-KIND")
    return sentence


def phrases(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(kind, its first word, the one after its last)."""
    found: list[tuple[str, int, int]] = []
    for t, tag in enumerate(tags):
        mark, _, kind = tag.partition("-")
        if mark == "I" and found and found[-1][0] == kind and found[-1][2] == t:
            found[-1] = (kind, found[-1][1], t + 1)
        elif mark != OUTSIDE:
            found.append((kind, t, t + 1))
    return found


class Counts(NamedTuple):
    """Of phrases."""

    true: int
    said: int
    right: int

    @property
    def f1(self) -> float:
        """In per cent, the harmonic mean of which share of those said is right and of those true is found."""
        return 200 * self.right / (self.true + self.said) if self.right else 0.0


def counted(truth: Iterable[Sequence[str]], said: Iterable[Sequence[str]], kind: str | None = None) -> Counts:
    """Over all sentences, of one kind or of all."""
    pairs = [(set(phrases(a)), set(phrases(b))) for a, b in zip(truth, said, strict=True)]
    if kind is not None:
        pairs = [tuple({phrase for phrase in each if phrase[0] == kind} for each in pair) for pair in pairs]
    return Counts(*(sum(len(each) for each in part) for part in zip(*((a, b, a & b) for a, b in pairs), strict=True)))
