"""What goes on inside a run's network: a folder with a report in plain words, pictures, and the numbers behind each."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from jaxrnn.runner import showing
from jaxrnn.runner.commands.options import Inspect
from jaxrnn.runner.console import make_console
from jaxrnn.runner.files import write_whole
from jaxrnn.runner.inspection.costs import costs
from jaxrnn.runner.inspection.difficulty import difficulty
from jaxrnn.runner.inspection.rests import rests
from jaxrnn.runner.inspection.rests_on import rests_on
from jaxrnn.runner.inspection.space import space
from jaxrnn.runner.inspection.subject import Section, Subject, subject_of
from jaxrnn.runner.inspection.traces import traces
from jaxrnn.runner.inspection.tracked import tracked
from jaxrnn.runner.loading import Run, load_run, told_where
from jaxrnn.runner.metrics import as_json
from jaxrnn.runner.problem import DataGone

TEXT_STEPS, STEPS = 100, 200
DIGITS = 6  # of the numbers in the JSON files

SECTIONS: dict[str, Callable[[Subject], Section]] = {
    "States and gates": traces,
    "What the outputs rest on": rests_on,
    "Units that track something": tracked,
    "State space": space,
    "Where it rests": rests,
    "How the gradient fares": difficulty,
    "What it costs": costs,
}


def run(options: Inspect) -> None:
    """Write the folder. Raises ValueError where the task shows no example of its input, or the folder is there."""
    console, began = make_console(), time.perf_counter()
    found = load_run(options.run, options.member, options.weights)
    xs, what = read(options, found)
    subject = subject_of(found.config, found.problem, found.params, xs)
    folder = showing.new_folder(options.output or options.run / "inspect", "output")
    seeds = found.config.seeds
    whose = f", seed {seeds[options.member]}" if seeds else ""
    written = list(sections(subject, whose, folder, console))
    write_whole(folder / "report.md", report(options, found, subject, what, whose, written))
    seconds = time.perf_counter() - began
    console.out(f"done in {seconds:.1f} s, everything is in {folder}; begin with report.md", highlight=False)


def sections(subject: Subject, whose: str, folder: Path, console: Console) -> Iterator[str]:
    """Each in Markdown, its files written; one that a network does not allow says why.

    whose   of several seeds, which one the pictures are of
    """
    for title, find in SECTIONS.items():
        try:
            section = find(subject)
        except ValueError as error:
            console.out(f"{title}: left out, {error}", highlight=False)
            yield f"## {title}\n\nLeft out: {error}."
            continue
        parts = [f"## {section.title}", section.words]
        for figure in section.figures:
            data = plain({**figure.data, "title": figure.data["title"] + whose})
            write_whole(folder / f"{figure.name}.json", showing.as_json(as_json(data)) + "\n")
            figure.draw(folder / f"{figure.name}.png", data)
            parts.append(f"![{section.title}]({figure.name}.png)\n\n*{figure.caption}*")
        console.out(
            f"{title}: {', '.join(figure.name for figure in section.figures) or 'in the report'}", highlight=False
        )
        yield "\n\n".join(filter(None, parts))


def read(options: Inspect, found: Run) -> tuple[np.ndarray, str]:
    """(the xs of one sequence, what they are). Raises ValueError on what the task cannot read."""
    problem = found.problem
    if options.text is not None and options.file is not None:
        raise ValueError("text: got one beside a file, wanted either")
    if options.text is not None:
        if problem.said is None:
            raise ValueError(f"text: {found.name} reads no text, wanted a run of 'text'")
        xs, what = problem.said(options.text), "the text given"
    elif options.file is not None:
        if problem.read is None:
            raise ValueError(f"file: {found.name} reads no file of one sequence, wanted none")
        xs, what = problem.read(options.file), str(options.file)
    elif problem.example is None:
        raise ValueError(f"run: {options.run} is a run of {found.name!r}, which shows no example of its input")
    else:
        try:
            xs, what = problem.example(), "a piece of the run's own valid part"
        except DataGone as gone:
            raise ValueError(f"{gone}; give a file to read, or {told_where(options.run, gone.option)}") from None
    usual = problem.steps or (STEPS if problem.symbols is None else TEXT_STEPS)
    if problem.steps not in (None, options.steps or problem.steps):
        raise ValueError(f"steps: got {options.steps}, wanted none: this network reads {problem.steps} steps at a time")
    xs = np.asarray(xs)[: options.steps or usual]
    if len(xs) < 3:
        raise ValueError(f"{'text' if options.file is None else 'file'}: {what} has {len(xs)} steps, wanted at least 3")
    return xs, what


def plain(value: Any) -> Any:
    """Arrays as lists of numbers of a few digits: what a JSON file has."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value)
        return plain(value.tolist()) if value.dtype.kind in "iub" else plain(value.astype(np.float64).tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def report(options: Inspect, found: Run, subject: Subject, what: str, whose: str, written: list[str]) -> str:
    layers = ", ".join(subject.seen.layers)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(found.params))
    head = (
        f"# Inside {options.run.resolve().name}\n\nA network trained on {found.name}, {parameters:,} parameters, with "
        f"the recurrent layers {layers}; its {options.weights} weights{whose}. It was looked at while it read "
        f"{len(subject.xs)} steps of {what}. The numbers behind each picture are in the file of its name that ends in "
        ".json."
    )
    return "\n\n".join([head, *written]) + "\n"
