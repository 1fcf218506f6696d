"""What a run leaves for its reader: report.md and a picture of the learning curve."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxrnn.runner import plots
from jaxrnn.runner.config import Trained
from jaxrnn.runner.metrics import read_metrics
from jaxrnn.runner.problem import Problem


def write_report(
    name: str, problem: Problem, config: Trained, directory: Path, run: Mapping[str, Any], console: Console
) -> None:
    """The numbers on the screen and, with everything they depend on, in a file to read and send."""
    rows = score_rows(problem, run)
    for what, number in rows:
        console.out(f"  {what:<45}{number}", highlight=False)
    draw(problem, directory, run)
    table = "\n".join(f"| {what} | {number} |" for what, number in rows)
    device, git = run["device"], run["git"] or {"commit": "unknown", "changed": False}
    options = "\n".join(f"| {key} | {value} |" for key, value in run["config"].items() if value is not None)
    versions = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
    text = f"""# {name}: {directory.name}

| | {problem.unit} |
| --- | --- |
{table}

Best weights: step {run["best"]["step"]} of {config.steps}, by the {problem.splits[0]} part.

![The learning curve](learning_curve.png)

Command: `{" ".join(run["command"])}`

Commit {git["commit"]}{" and changes" if git["changed"] else ""}; {versions}; {device["kind"]}, {device["cpus"]} CPUs.

| option | value |
| --- | --- |
{options}
"""
    (directory / "report.md").write_text(text, encoding="utf-8")


def score_rows(problem: Problem, run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, number) for each split, with the anchors of each beneath it."""
    rows = []
    for split in problem.splits:
        own = [k for k in run["metrics"] if k.startswith(f"{split}_") and not k.endswith(("_std", "_by_seed"))]
        rows += [(key.replace("_", " "), measured(run["metrics"], key)) for key in own]
        rows += [(f"{split}: {words}", f"{value:.3f}") for words, value in run["anchors"][split].items()]
    return rows


def measured(metrics: Mapping[str, Any], name: str) -> str:
    """A number; of several seeds the mean, and the standard deviation in brackets."""
    spread = f"{name}_std"
    return f"{metrics[name]:.3f}" + (f" (standard deviation {metrics[spread]:.3f})" if spread in metrics else "")


def draw(problem: Problem, directory: Path, run: Mapping[str, Any]) -> None:
    """The loss, and the watched split's number beside its anchors."""
    lines, split = read_metrics(directory), problem.splits[0]
    if not lines:
        return
    watched = next(k for k in run["metrics"] if k.startswith(f"{split}_"))
    looks = [line for line in lines if line.get(watched) is not None]
    width = math.ceil(len(lines) / 100)
    means = [lines[i : i + width] for i in range(0, len(lines), width)]
    label = f"training, mean of {width} steps" if width > 1 else "training"
    curves = {
        label: (
            [chunk[-1]["step"] for chunk in means],
            [sum(line[problem.name] for line in chunk) / len(chunk) for chunk in means],
        ),
        watched.replace("_", " "): ([line["step"] for line in looks], [line[watched] for line in looks]),
    }
    y_label = f"{problem.name} [{problem.unit}]" if problem.unit else problem.name
    plots.curves(directory / "learning_curve.png", directory.name, "step", y_label, curves, run["anchors"][split])
