"""The times of rows that a table does not have yet: its own even steps, gone on with."""

import contextlib
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from jaxrnn.runner.tables import Disorder, Table, in_order, is_number, readings, tell


def times_ahead(table: Table, name: str, rows: int, count: int) -> list[str] | None:
    """The next `count` cells of a column of times, by its last `rows`, written as they are.

    None, which is told, where those steps differ, where the cells can be read as dates that go on differently, or
    where they are written as no form here writes them.
    """
    cells = table.columns[name]
    found: dict[Hashable, list[str]] = {}
    for way in (ways := readings(cells[0])):
        with contextlib.suppress(Disorder):
            times = in_order(table, name, way)
            after = following(times[-rows:], count) if way.write(times[-1]) == cells[-1].strip() else []
            if after:
                found[tuple(after)] = [way.write(time) for time in after]
            if is_number(cells[0]):
                break  # one that is a date counts no days: after 20200131 comes no 20200132
    if len(found) == 1:
        return next(iter(found.values()))
    if ways:  # otherwise it was told that no date was seen
        column = f"{table.argument}: {table.path}, column {name!r}"
        last = f"its last {min(rows, len(cells))} rows"
        why = f"{last} are not evenly apart, or not written in one form, or dates in two ways"
        tell(f"{column} gives the forecasts no dates: {why}")
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
    for shift in (timedelta(0), timedelta(days=1)):
        moved = [time + shift for time in times]
        if len({time.replace(year=2000, month=1) for time in moved}) == 1:
            months = evenly([12 * time.year + time.month - 1 for time in moved], count)
            return [moved[-1].replace(year=month // 12, month=month % 12 + 1) - shift for month in months]
    return []


def evenly(times: Sequence[Any], count: int) -> list[Any]:
    steps = {after - before for before, after in pairwise(times)}
    return [times[-1] + k * next(iter(steps)) for k in range(1, count + 1)] if len(steps) == 1 else []
