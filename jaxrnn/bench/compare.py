"""Two files of results, row by row: what is slower now, beyond the noise.

A row is slower where its median has grown by more than MARGIN and nine in ten of its runs took longer than nine in ten
of the old ones: p10 now is above p90 then. Faster is the same the other way round.
"""

from typing import NamedTuple

from jaxrnn.bench.results import Row

MARGIN = 0.05
SAME_ROW = ("name", "cell", "B", "T", "I", "H", "dtype", "mode")


class Change(NamedTuple):
    old: Row
    new: Row

    @property
    def ratio(self) -> float:
        return self.new["median"] / self.old["median"]


def key(row: Row) -> tuple[object, ...]:
    return *(row[name] for name in SAME_ROW), str(row["compiler_options"])


def changes(old: list[Row], new: list[Row]) -> list[Change]:
    """The rows that came to their end in both, in the order of the new."""
    before = {key(row): row for row in old if row["status"] == "ok"}
    return [Change(before[key(row)], row) for row in new if row["status"] == "ok" and key(row) in before]


def broken(old: list[Row], new: list[Row]) -> list[Row]:
    """The rows that came to their end then and fail now."""
    before = {key(row) for row in old if row["status"] == "ok"}
    return [row for row in new if row["status"] != "ok" and key(row) in before]


def slower(change: Change) -> bool:
    return change.ratio > 1 + MARGIN and change.new["p10"] > change.old["p90"]


def faster(change: Change) -> bool:
    return slower(Change(change.new, change.old))
