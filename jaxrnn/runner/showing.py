"""Tables for a person: boxed on a terminal, a block a row where it is too narrow, Markdown anywhere else."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from jaxrnn.runner.files import printable
from jaxrnn.runner.numbers import number

Row = Mapping[str, Any]


def show(console: Console, rows: Sequence[Row]) -> None:
    """The rows under the names of all their keys."""
    cells = [[written(row.get(name)) for name in names(rows)] for row in rows]
    if not console.is_terminal:
        return console.out(markdown(rows), highlight=False)
    table = Table(*names(rows))
    for row in cells:
        table.add_row(*row)
    if Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
        return console.print(table, markup=False, highlight=False)
    width = max(map(len, names(rows)))
    blocks = ["\n".join(f"{n:<{width}}  {c}" for n, c in zip(names(rows), row, strict=True) if c) for row in cells]
    console.print("\n\n".join(blocks), markup=False, highlight=False)


def markdown(rows: Sequence[Row]) -> str:
    head = names(rows)
    lines = [head, ["---"] * len(head), *([written(row.get(name)) for name in head] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def names(rows: Iterable[Row]) -> list[str]:
    """Every key once, in the order they are met; a standard deviation beside what it belongs to."""
    met = list(dict.fromkeys(name for row in rows for name in row))
    alone = [name for name in met if not name.endswith("_std")]
    return [name for one in alone for name in (one, f"{one}_std") if name in met]


def written(value: Any) -> str:
    """A value as a cell of a table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}" if value == float(f"{value:.3g}") else number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(written, value)) if isinstance(value, list | tuple) else printable(value)


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False, default=str)


def new_folder(path: Path, option: str) -> Path:
    """Make a folder that nothing is in yet. Raises ValueError in one line where that cannot be."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise ValueError(f"{option}: {path} is there already, wanted a new folder; choose another --{option}") from None
    except OSError as error:
        raise ValueError(f"{option}: {path} cannot be made: {error.strerror}") from None
    return path
