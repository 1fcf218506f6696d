"""A file of the user's own through a run's network, row by row."""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from jaxrnn.runner.commands.options import Predict
from jaxrnn.runner.console import make_console
from jaxrnn.runner.loading import load_run
from jaxrnn.runner.problem import Columns


def run(options: Predict) -> None:
    """Write the columns. Raises ValueError where the task predicts nothing, and rather than overwrite a file."""
    output = options.output
    if output and output.exists() and not options.overwrite:
        raise ValueError(f"output: {output} is there already; --overwrite replaces it")
    found = load_run(options.run, options.member, options.weights)
    if found.problem.predict is None:
        raise ValueError(f"run: {options.run} is a run of {found.name!r}, which predicts no rows of a file")
    columns = found.problem.predict(found.params, options.file)
    if output is None:
        make_console()  # no character can then make it fail
        return write(sys.stdout, columns)
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            write(file, columns)
        part.replace(output)
    except OSError as error:
        raise ValueError(f"output: {output} cannot be written: {error.strerror}") from None
    finally:
        remove(part)
    make_console().out(f"{len(rows_of(columns)):,} rows in {output}", highlight=False)


def write(file: TextIO, columns: Columns) -> None:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows_of(columns))


def rows_of(columns: Columns) -> list[Iterable[Any]]:
    return list(zip(*columns.values(), strict=True))


def remove(part: Path) -> None:
    """What was not finished, where anything was begun."""
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return
