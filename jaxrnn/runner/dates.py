"""The times of rows that a table does not have yet: its own even steps, gone on with."""

import contextlib
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from jaxrnn.runner.tables import Disorder, Table, in_order, readings, tell


def times_ahead(table: Table, name: str, rows: int, count: int) -> list[str] | None:
    """The next `count` cells of a column of times, by its last `rows`, written as they are.

    None, which is told, where those steps differ, or where the cells can be read as dates that go on differently.
    """
    cells = table.columns[name]
    found: dict[Hashable, list[str]] = {}
    for way in (ways := readings(cells[0])):
        with contextlib.suppress(Disorder):
            if after := following(in_order(table, name, way)[-rows:], count):
                found[tuple(after)] = [way.write(time) for time in after]  # ISO 8601 first, then the cells' own form
    if len(found) == 1:
        return next(iter(found.values()))
    if ways:  # otherwise it was told that no date was seen
        why = f"its last {rows} rows are not evenly apart, or can be read as dates in two ways"
        tell(f"{table.argument}: {table.path}, column {name!r} gives the forecasts no dates: {why}")
    return None


def following(times: Sequence[Any], count: int) -> list[Any]:
    """What comes after times that are whole months apart, or all as far apart in their own unit; none after others."""
    try:
        return by_months(times, count) or evenly(times, count)
    except (OverflowError, ValueError):  # after the year 9999, or no such day in a month
        return []


def by_months(times: Sequence[Any], count: int) -> list[datetime]:
    """The same day of each month, or its last, which is the day before a first."""
    if not isinstance(times[0], datetime):
        return []
    day = timedelta(days=1)
    shift = day if (times[-1] + day).day == 1 else 0 * day
    moved = [time + shift for time in times]
    if len({time.replace(year=2000, month=1) for time in moved}) > 1:
        return []
    months = evenly([12 * time.year + time.month - 1 for time in moved], count)
    return [moved[-1].replace(year=month // 12, month=month % 12 + 1) - shift for month in months]


def evenly(times: Sequence[Any], count: int) -> list[Any]:
    steps = {after - before for before, after in pairwise(times)}
    return [times[-1] + k * next(iter(steps)) for k in range(1, count + 1)] if len(steps) == 1 else []
