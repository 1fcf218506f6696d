"""How far a run is: a live bar on a terminal, plain lines anywhere else."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from jaxrnn.runner.numbers import duration

SECONDS_BETWEEN_LINES = 5.0
NARROWEST_BAR = 72  # columns; in fewer the bar would push out the numbers


class Show(Protocol):
    """Called after each step; `words` says how it went. Or between two: `words` says what goes on."""

    def __call__(self, step: int, words: str, between: bool = False) -> None: ...


@contextlib.contextmanager
def progress(console: Console, label: str, total: int) -> Iterator[Show]:
    """Gives a Show for `total` steps."""
    if console.is_terminal and not console.is_dumb_terminal and console.width >= NARROWEST_BAR:
        columns = ["{task.description}", "{task.fields[words]}", "{task.fields[left]}"]
        name, words, left = (TextColumn(column) for column in columns)
        with Progress(name, BarColumn(bar_width=None), MofNCompleteColumn(), words, left, console=console) as bar:
            task = bar.add_task(label, total=total, words="", left="")
            remaining = make_remaining(total)

            def show(step: int, words: str, between: bool = False) -> None:
                given = {} if between else {"completed": step, "left": f"{remaining(step)} left"}
                bar.update(task, words=words, **given)

            yield show
    else:
        yield _lines(console, label, total)


def _lines(console: Console, label: str, total: int) -> Show:
    said, remaining = None, make_remaining(total)

    def show(step: int, words: str, between: bool = False) -> None:
        nonlocal said
        if between:
            return
        now, left = time.perf_counter(), remaining(step)
        if said is None or step == total or now - said >= SECONDS_BETWEEN_LINES:
            said = now
            console.out(f"{label} step {step}/{total}  {words}  {left} left", highlight=False)

    return show


def make_remaining(total: int) -> Callable[[int], str]:
    """remaining(step): how long the rest will take, at the pace since the first step that was told.

    That one waited for the compiler. Looks and saves count: they come again.
    """
    first: tuple[int, float] | None = None

    def remaining(step: int) -> str:
        nonlocal first
        now = time.perf_counter()
        first = first or (step, now)
        if step == total:
            return "0 s"
        return duration((now - first[1]) / (step - first[0]) * (total - step)) if step > first[0] else "? s"

    return remaining
