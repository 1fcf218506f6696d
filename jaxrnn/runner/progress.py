"""How far a run is: a live bar on a terminal, plain lines anywhere else."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 5.0
NARROWEST_BAR = 72  # columns; in fewer the bar would push out the numbers


@contextlib.contextmanager
def progress(console: Console, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Gives `show(step, words)`, to be called after each of `total` steps; `words` says how the step went."""
    if console.is_terminal and not console.is_dumb_terminal and console.width >= NARROWEST_BAR:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
        ) as bar:
            task = bar.add_task(label, total=total, words="")
            yield lambda step, words: bar.update(task, completed=step, words=words)
    else:
        yield _lines(console, label, total)


def _lines(console: Console, label: str, total: int) -> Callable[[int, str], None]:
    began = said = time.perf_counter()

    def show(step: int, words: str) -> None:
        nonlocal said
        now = time.perf_counter()
        if step == total or step == 1 or now - said >= SECONDS_BETWEEN_LINES:
            said = now
            left = (now - began) / step * (total - step)
            console.out(f"{label} step {step}/{total}  {words}  {left:.0f} s left", highlight=False)

    return show
