"""What a sweep varies: from the words of --grid and --draw to the options of each trial."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

FIXED = ("seeds", "out", "tensorboard", "coordinator", "processes", "process", "wait")  # what no trial has of its own
Options = dict[str, Any]


class Range(NamedTuple):
    """Numbers from low to high, whole where both are."""

    low: float
    high: float
    log: bool
    whole: bool


def trials(grid: Sequence[str], draw: Sequence[str], n: int, seed: int) -> list[Options]:
    """The options of each trial: every point of the grid, at each of them the same n draws.

    Raises ValueError on words that say nothing of the kind.
    """
    values, ranges = parsed("grid", grid), parsed("draw", draw)
    if not values and not ranges:
        raise ValueError("sweep: got nothing to vary, wanted --grid NAME=A,B,... or --draw NAME=LOW..HIGH")
    for name, many in values.items():
        if isinstance(many, Range):
            raise ValueError(
                f"grid: {name} is {many.low:g}..{many.high:g}, wanted values {name}=A,B,...; --draw has ranges"
            )
        if name in ranges:
            raise ValueError(f"draw: {name} is in --grid too, wanted it in one of them")
    points = [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]
    draws = [drawn(ranges, seed, k) for k in range(n)] if ranges else [{}]
    return [point | one for point in points for one in draws]


def parsed(option: str, words: Iterable[str]) -> dict[str, Range | list[str]]:
    """NAME=A,B,... as a list, NAME=LOW..HIGH[:log] as a Range, by name."""
    found: dict[str, Range | list[str]] = {}
    for word in words:
        name, equals, right = word.partition("=")
        name = name.strip().replace("-", "_")
        if not (name and equals and right):
            raise ValueError(f"{option}: got {word!r}, wanted NAME=A,B,... such as units=32,64")
        if name in found:
            raise ValueError(f"{option}: {name} is there twice, wanted it once")
        if name in FIXED:
            raise ValueError(f"{option}: {name} is the same for all trials; give it as --{name.replace('_', '-')}")
        found[name] = range_of(option, word, right) if ".." in right else listed(option, word, right)
    return found


def listed(option: str, word: str, right: str) -> list[str]:
    values = [value.strip() for value in right.split(",")]
    if "" in values or len(set(values)) < len(values):
        raise ValueError(f"{option}: got {word!r}, wanted each value once, with a comma between")
    return values


def range_of(option: str, word: str, right: str) -> Range:
    match = re.fullmatch(r"(.+?)\.\.(.+?)(:log)?", right)
    try:
        low, high = (float(part) for part in match.groups()[:2]) if match else (math.nan, math.nan)
    except ValueError:
        low = high = math.nan
    log = bool(match and match[3])
    if not (low < high and math.isfinite(low) and math.isfinite(high)) or (log and low <= 0):
        least = " above 0" if log else ""
        raise ValueError(f"{option}: got {word!r}, wanted NAME=LOW..HIGH or NAME=LOW..HIGH:log, LOW{least} below HIGH")
    whole = bool(match and all(re.fullmatch("[+-]?[0-9]+", part) for part in match.groups()[:2]))
    return Range(low, high, log, whole)


def drawn(ranges: Mapping[str, Range | list[str]], seed: int, k: int) -> Options:
    """Draw number k: a function of the seed and k alone. Each option has a stream of its own, by its name."""
    return {name: one(r, np.random.default_rng([seed, k, *name.encode()])) for name, r in ranges.items()}


def one(many: Range | list[str], numbers: np.random.Generator) -> Any:
    """Three digits are enough, and can be read."""
    if isinstance(many, list):
        return many[numbers.integers(len(many))]
    if many.whole and not many.log:
        return int(numbers.integers(int(many.low), int(many.high) + 1))
    low, high = (math.log(many.low), math.log(many.high)) if many.log else (many.low, many.high)
    value = numbers.uniform(low, high)
    value = math.exp(value) if many.log else value
    return round(value) if many.whole else min(max(float(f"{value:.3g}"), many.low), many.high)


def folder_name(k: int, options: Options) -> str:
    """A trial's directory: its number from 1 and what it is."""
    words = "_".join(f"{name}={value}" for name, value in options.items())
    return f"{k:03d}_{re.sub(r'[^A-Za-z0-9._=+-]', '-', words)}"[:100]
