"""A text in two languages: files of a sentence a line, line by line the same. Words are what spaces part."""

from pathlib import Path
from typing import NamedTuple

from jaxrnn.runner.users_files import UNPACK, read_text

WHERE = "github.com/multi30k/dataset has German, English, French and Czech in data/task1/tok"
FORMS = tuple(f"{middle}.{{}}{packed}" for middle in (".lc.norm.tok", "") for packed in ("", *UNPACK))

Sentence = list[str]


class Pairs(NamedTuple):
    """A part of the text: the same sentences in both languages."""

    source: list[Sentence]
    target: list[Sentence]


def read_pairs(folder: Path, part: str, source: str, target: str) -> Pairs:
    """Raises ValueError where a file is missing, a line is empty, or the two have not as many."""
    paths = [find(folder, part, language) for language in (source, target)]
    both = Pairs(*map(sentences, paths))
    if len(both.source) != len(both.target):
        counts = " and ".join(f"{path} {len(lines):,}" for path, lines in zip(paths, both, strict=True))
        raise ValueError(f"data: lines are not pairs: {counts}, wanted as many")
    return both


def find(folder: Path, part: str, language: str) -> Path:
    if not folder.is_dir():
        raise ValueError(f"data: {folder} is no folder, wanted one with {part}.{language} and others; {WHERE}")
    for form in FORMS:
        path = folder / (part + form.format(language))
        if path.exists():
            return path
    wanted = " or ".join(part + form.format(language) for form in FORMS if not form.endswith((".gz", ".bz2")))
    raise ValueError(f"data: {folder} has no {wanted}; {WHERE}")


def sentences(path: Path, argument: str = "data") -> list[Sentence]:
    """Of a file. Raises ValueError where it cannot be read, and on the first line without a word."""
    found = [line.split() for line in read_text(path, "a sentence a line", argument).removesuffix("\n").split("\n")]
    for number, words in enumerate(found, 1):
        if not words:
            raise ValueError(f"{argument}: {path}, line {number} is empty, wanted a sentence")
    return found
