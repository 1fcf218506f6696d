"""A CSV file with a header, as columns. Every complaint names the file, the line and the column."""

import contextlib
import csv
import io
import math
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxrnn.runner.users_files import read_text

DELIMITERS = ",;\t"  # the one that the header has most of
DATES = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d")
HOURS = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")
FORMS = [date.format(sep) + time for sep in "/.-" for date in DATES for time in HOURS]
COMPACT = {8: "%Y%m%d", 6: "%Y%m"}  # by the digits of a number
MISSING = ("", "nan", "na", "n/a", "null", "none")  # what stands for nothing, in lower case
TIMES = ("date", "time", "datetime", "timestamp", "ds")  # names of a column that says when


class Reading(NamedTuple):
    """A way in which a cell is a time."""

    parse: Callable[[str], Any]  # raises ValueError on a cell that is no such time
    write: Callable[[Any], str]


class Table(NamedTuple):
    path: Path
    argument: str  # that named the file
    lines: list[int]  # of the file, where each row begins
    columns: dict[str, list[str]]  # in the file's order

    def where(self, row: int, name: str) -> str:
        return f"{self.argument}: {self.path}, line {self.lines[row]}, column {name!r}"


def read_table(path: Path, wanted: str, argument: str = "data") -> Table:
    """All cells of a CSV file. Raises ValueError where rows and header do not agree, or there are no rows."""
    text, told = read_text(path, wanted, argument), f"{argument}: {path}"
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{told}, line {line} has a NUL byte, wanted {wanted}")
    head = text.lstrip("\n").partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(DELIMITERS, key=head.count), strict=True)
    lines, rows, ended = [], [], 0
    try:
        for row in reader:
            if row:  # a line with nothing on it is no row
                lines.append(ended + 1)
                rows.append(row)
            ended = reader.line_num
    except csv.Error as error:
        raise ValueError(f"{told}, line {ended + 1} is not CSV: {error}") from None
    if not rows:
        raise ValueError(f"{told} has nothing but empty lines, wanted {wanted}")
    names, rows, lines = [name.strip() for name in rows[0]], rows[1:], lines[1:]
    check_header(told, names)
    if not rows:
        raise ValueError(f"{told} has a header and no rows, wanted {wanted}")
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(names):
            raise ValueError(f"{told}, line {line} has {len(row)} cells, the header has {len(names)}")
    return Table(path, argument, lines, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def check_header(told: str, names: list[str]) -> None:
    """Names, each once. Raises ValueError on the first that is none, or is there twice."""
    seen: dict[str, int] = {}
    if all(is_number(name) or is_date(name) for name in names):
        kinds = "numbers" if all(map(is_number, names)) else "dates and numbers"
        raise ValueError(f"{told}, line 1 has {kinds} alone, wanted a header with the names of the columns")
    for place, name in enumerate(names, 1):
        if not name:
            raise ValueError(f"{told}, line 1: column {place} has no name")
        if name in seen:
            raise ValueError(f"{told}, line 1: columns {seen[name]} and {place} are both {name!r}")
        seen[name] = place


def has(table: Table, name: str, argument: str) -> None:
    """Raises ValueError where the table has no such column."""
    if name not in table.columns:
        raise ValueError(f"{argument}: {table.path} has no column {name!r}; it has {listed(table.columns)}")


def listed(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def numbers(table: Table, name: str, if_missing: str = "", otherwise: str = "") -> Float[np.ndarray, "rows"]:
    """A column as float64. Raises ValueError naming the first cell that is no finite number.

    if_missing      the way out where nothing stands in it
    otherwise       and where something else does
    """
    cells = table.columns[name]
    try:
        values = np.array([float(cell) for cell in cells])
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    row = next(row for row, cell in enumerate(cells) if not is_number(cell))
    came = f"is {short(cells[row])}" if cells[row].strip() else "is empty"
    if cells[row].strip().lower() in MISSING:
        way_out = if_missing
    elif is_number(cells[row].replace(",", ".")):
        way_out = "; write decimals with a point"
    else:
        way_out = otherwise
    raise ValueError(f"{table.where(row, name)} {came}, wanted a finite number{way_out}")


def is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def short(cell: str, most: int = 40) -> str:
    return repr(cell if len(cell) <= most else cell[: most - 3] + "...")


def time_column(table: Table) -> str | None:
    """The column that says when: by its name, or because it begins with a date."""
    named = [name for name in table.columns if name.lower() in TIMES]
    return next(iter(named + [name for name, cells in table.columns.items() if is_date(cells[0])]), None)


def check_order(table: Table, name: str) -> None:
    """Each row is later than the one before; gaps are told, since a row counts as a step wherever it stands.

    Dates that can be read in two ways, as 01/02/2024, may be in order in either. Raises ValueError naming the first row
    that is not later, or is no time.
    """
    cells = table.columns[name]
    ways = readings(cells[0])
    if not ways:
        return tell(f"{table.where(0, name)} is {short(cells[0])}, in which no date was seen: the order is not checked")
    disorders = []
    for way in ways:
        try:
            return tell_gaps(table, name, in_order(table, name, way))
        except Disorder as disorder:
            disorders.append(disorder)
    raise ValueError(max(disorders, key=lambda one: one.row))  # of the reading that goes furthest


class Disorder(ValueError):
    def __init__(self, row: int, complaint: str) -> None:
        super().__init__(complaint)
        self.row = row


def in_order(table: Table, name: str, way: Reading) -> list[Any]:
    """Every row's time. Raises Disorder."""
    cells, times = table.columns[name], []
    for row, cell in enumerate(cells):
        try:
            times.append(way.parse(cell.strip()))
            wanted = "" if row == 0 or times[row] > times[row - 1] else f"a time after {short(cells[row - 1])}"
        except (ValueError, TypeError):
            wanted = f"a time like {short(cells[0])}"
        if wanted:
            raise Disorder(row, f"{table.where(row, name)} is {short(cell)}, wanted {wanted}")
    return times


def tell_gaps(table: Table, name: str, times: list[Any]) -> None:
    since = (after - before for before, after in pairwise(times))
    steps = np.array([float(s.total_seconds() if isinstance(s, timedelta) else s) for s in since])
    cells = table.columns[name]
    gaps = np.flatnonzero(steps > 1.9 * np.median(steps)) if len(steps) else []  # months and leap days are none
    if len(gaps):
        row = int(gaps[0]) + 1
        more = f", the first of {len(gaps)} such gaps" if len(gaps) > 1 else ""
        far = f"{steps[row - 1] / np.median(steps):.3g} usual steps after {short(cells[row - 1])}{more}"
        tell(f"{table.where(row, name)} is {short(cells[row])}, {far}; each row is taken for one step all the same")


def tell(words: str) -> None:
    print(f"jaxrnn: {words}", file=sys.stderr)


def is_date(cell: str) -> bool:
    return not is_number(cell) and bool(readings(cell))


def readings(cell: str) -> list[Reading]:
    """The ways to read a cell as a time: ISO 8601, or day, month and year in one of the usual orders, or a number."""
    cell = cell.strip()
    if is_number(cell):
        compact = [COMPACT[len(cell)]] if len(cell) in COMPACT else []
        every = [*in_forms(compact), Reading(exact, str)]
    else:
        every = [Reading(datetime.fromisoformat, partial(write_iso, cell)), *in_forms(FORMS)]
    found = []
    for way in every:
        with contextlib.suppress(ValueError):
            way.parse(cell)
            found.append(way)
    return found


def in_forms(forms: list[str]) -> list[Reading]:
    return [Reading(partial(read_as, form), partial(write_as, form)) for form in forms]


def exact(cell: str) -> Decimal:
    """The number as it is written: nanoseconds since 1970 are more digits than a float has."""
    with contextlib.suppress(ArithmeticError):  # an exponent of 20 digits
        if is_number(cell):
            return Decimal(cell)
    raise ValueError(cell)


def read_as(form: str, cell: str) -> datetime:
    time = datetime.strptime(cell, form)
    if form in COMPACT.values() and not 1800 <= time.year < 2200:
        raise ValueError(cell)  # a number like another
    return time


def write_iso(like: str, time: datetime) -> str:
    """As `like` has it: a letter or a space before the hour, Z or a number for the zone."""
    written = time.isoformat(like[10:11] or "T")
    return written.replace("+00:00", "Z") if like.endswith("Z") else written


def write_as(form: str, time: datetime) -> str:
    return time.strftime(form)
