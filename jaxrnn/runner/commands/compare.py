"""Runs beside each other: a table of what differs and what came of it, and their learning curves in one picture."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrnn.runner import showing
from jaxrnn.runner.commands.options import Compare
from jaxrnn.runner.console import make_console
from jaxrnn.runner.plots import Panel, panels
from jaxrnn.runner.summaries import Summary, curve, differing, row, summarize


def run(options: Compare) -> None:
    """Show the table, and leave it with the picture. Raises ValueError where the runs cannot be compared."""
    console = make_console()
    runs = gathered(options.runs)
    rows = table(runs)
    folder = showing.new_folder(options.out or Path("runs") / f"compare-{time.strftime('%Y%m%d-%H%M%S')}", "out")
    text = showing.as_json(rows)
    (folder / "compare.json").write_text(text + "\n", encoding="utf-8")
    draw(folder / "learning_curves.png", runs)
    words = f"# {len(runs)} runs\n\n{showing.markdown(rows)}\n\n![Learning curves](learning_curves.png)\n"
    (folder / "compare.md").write_text(words, encoding="utf-8")
    if options.json:
        return console.out(text, highlight=False)
    showing.show(console, rows)
    console.out(f"the table and the learning curves are in {folder}", highlight=False)


def gathered(directories: Sequence[Path]) -> list[Summary]:
    """The runs, all judged by one number."""
    if len(directories) < 2:
        raise ValueError(f"runs: got {len(directories)}, wanted two or more to compare")
    runs = [summarize(directory) for directory in directories]
    for other in runs[1:]:
        if (other.watched, other.judged) != (runs[0].watched, runs[0].judged):
            one, two = (f"{s.directory} by {s.watched or 'nothing yet'}" for s in (runs[0], other))
            raise ValueError(f"runs: {one} and {two} are judged differently, wanted the same number of the same task")
    return runs


def table(runs: Sequence[Summary]) -> list[dict[str, Any]]:
    """A row a run, in the order they were given; two of one name keep their paths."""
    options = differing(runs)
    twice = len({s.name for s in runs}) < len(runs)
    return [row(s, options) | ({"run": str(s.directory)} if twice else {}) for s in runs]


def draw(path: Path, runs: Sequence[Summary]) -> None:
    """What the runs are judged by, and their training loss, one line a run."""
    judged, watched, options = runs[0].judged, runs[0].watched or "", differing(runs)
    rows = table(runs)
    labels = [shortened(r["run"], {o: r.get(o) for o in options}) for r in rows]
    unit = f" [{judged['unit']}]" if judged["unit"] else ""
    lines = [
        {label: curve(s.directory, name) for label, s in zip(labels, runs, strict=True)}
        for name in (watched, judged["loss"])
    ]
    titles = (f"{watched.replace('_', ' ')}{unit}", f"training {judged['loss']}")
    panels(path, f"{len(runs)} runs", "step", [Panel(t, ls) for t, ls in zip(titles, lines, strict=True)])


def shortened(name: str, options: dict[str, Any]) -> str:
    """A run's name; in brackets what it was told that the others were not, where that is not much."""
    told = ", ".join(f"{key} {showing.written(value)}" for key, value in options.items() if value is not None)
    return f"{name} ({told})" if told and len(told) < 40 else name
