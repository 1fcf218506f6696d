"""What a run leaves for its reader: report.md and a picture of the learning curve."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from jaxrnn.runner import plots, showing, watching
from jaxrnn.runner.best import is_enough
from jaxrnn.runner.config import Config, Trained
from jaxrnn.runner.files import write_whole
from jaxrnn.runner.metrics import read_metrics
from jaxrnn.runner.numbers import duration, number
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.summaries import curve

OWN_PICTURES = ("learning_curve.png", watching.PICTURE)  # the others are the task's
LONGEST_SAMPLE = 1500  # characters


def show_scores(problem: Problem, run: Mapping[str, Any], console: Console) -> None:
    """The numbers on the screen."""
    rows = score_rows(problem, run)
    width = max(len(what) for what, _ in rows)
    for what, words in rows:
        console.out(f"  {what:<{width}}  {words}", highlight=False)


def write_report(
    name: str, problem: Problem, config: Trained, directory: Path, run: Mapping[str, Any], seconds: float
) -> None:
    """The numbers and the pictures, with everything they depend on, in a file to read and send.

    seconds     of training, in all processes that worked on the run one after the other
    """
    draw(problem, directory, run)
    scores = "\n".join(f"| {what} | {words} |" for what, words in score_rows(problem, run))
    shown = [watching.section(directory), *left_by_task(directory)]
    parts = [
        about(problem, config, run, seconds),
        f"| | {problem.unit or number_of(problem, run)} |\n| --- | --- |\n{scores}",
        seeds_table(problem, config, run),
        "![The learning curve](learning_curve.png)",
        whose(config) if any(shown) else "",
        *shown,
    ]
    write(name, directory, run, parts)


def write(name: str, directory: Path, run: Mapping[str, Any], parts: Sequence[str]) -> None:
    """What was found, and under it what was asked and where it comes from."""
    options = showing.markdown([{"option": key, "value": value} for key, value in run["config"].items()])
    every = [
        f"# {name}: {directory.resolve().name}",
        *parts,
        f"## All options\n\n{options}",
        f"## Where it comes from\n\n{provenance(run)}",
    ]
    write_whole(directory / "report.md", "\n\n".join(filter(None, every)) + "\n")


def about(problem: Problem, config: Trained, run: Mapping[str, Any], seconds: float) -> str:
    """What was trained, on what, how long, and what by the numbers are."""
    data = run["config"].get("data") or "the task's own data"
    took, best = run["step"], run["best"]["step"]
    seeds = f", seeds {showing.written(config.seeds)} together" if config.seeds else f", seed {config.seed}"
    speed = f", {number(run['throughput'])} {problem.item} a second" if "throughput" in run else ""
    watched = next(iter(run["metrics"])).replace("_", " ")
    return (
        f"{purpose(config)}\n\nTrained on {data}: {run['parameters']:,} parameters, {took:,} steps of "
        f"{config.steps:,}{seeds}, in {duration(seconds)}{speed}. The numbers are those of the best weights by "
        f"{watched} (step {showing.written(best)}), of which {problem.better} is better."
    )


def number_of(problem: Problem, run: Mapping[str, Any]) -> str:
    """What the numbers are where they have no unit: the loss, if it is what the parts are judged by."""
    return problem.name if f"{problem.splits[0]}_{problem.name}" in run["metrics"] else "number"


def purpose(config: Config) -> str:
    """What the task is for, as its help has it."""
    return " ".join((type(config).__doc__ or "").partition("\n\n")[0].split())


def seeds_table(problem: Problem, config: Trained, run: Mapping[str, Any]) -> str:
    """A row a seed, where there are several."""
    if not config.seeds:
        return ""
    by_seed = {key.removesuffix("_by_seed"): v for key, v in run["metrics"].items() if key.endswith("_by_seed")}
    rows = [
        {"seed": seed, **{key.replace("_", " "): values[k] for key, values in by_seed.items()}}
        | {"best step": run["best"]["step"][k]}
        for k, seed in enumerate(config.seeds)
    ]
    return showing.markdown(rows)


def whose(config: Trained) -> str:
    """Tasks are shown one model, that of the first seed."""
    if not config.seeds:
        return ""
    return f"The pictures and samples below are of seed {config.seeds[0]}, the first of {len(config.seeds)}."


def left_by_task(directory: Path) -> list[str]:
    """The pictures and samples that the task itself left in the run's directory."""
    pictures = [p for p in sorted(directory.glob("*.png")) if p.name not in OWN_PICTURES]
    shown = [f"![{p.stem.replace('_', ' ')}]({p.name})" for p in pictures]
    for sample in sorted(directory.glob("*.txt")):
        words = sample.read_text(encoding="utf-8")
        more = f"\n\nThe rest is in [{sample.name}]({sample.name})." if len(words) > LONGEST_SAMPLE else ""
        indented = "\n".join(f"    {line}" for line in words[:LONGEST_SAMPLE].splitlines())
        shown.append(f"## {sample.stem.replace('_', ' ').capitalize()}\n\n{indented}{more}")
    return shown


def provenance(run: Mapping[str, Any]) -> str:
    device, git = run["device"], run["git"] or {"commit": "unknown", "changed": False}
    versions = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
    best, kept = ("best ", run["best"]) if "best" in run else ("", run)
    digest = f"\n\nsha256 of the data: `{run['data_sha256']}`" if run.get("data_sha256") else ""
    return (
        f"`{' '.join(run['command'])}`\n\nCommit {git['commit']}{' and changes' if git['changed'] else ''}; "
        f"{versions}; "
        f"{device['count']} of {device['platform']} ({device['kind']}), {device['cpus']} CPUs; begun {run['started']}."
        f"{digest}\n\nsha256 of the {best}weights: `{kept['params_sha256']}`"
    )


def score_rows(problem: Problem, run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, number) for each split, with the anchors of each beneath it."""
    rows = [] if problem.enough is None else [("criterion", criterion(problem, run))]
    for split in problem.splits:
        own = [k for k in run["metrics"] if k.startswith(f"{split}_") and not k.endswith(("_std", "_by_seed"))]
        rows += [(key.replace("_", " "), measured(run["metrics"], key)) for key in own]
        rows += [(f"{split}: {words}", number(value)) for words, value in run["anchors"][split].items()]
    return rows


def criterion(problem: Problem, run: Mapping[str, Any]) -> str:
    """Of a task that asks for a number: which seeds had it, and after how much in the mean."""
    watched, several = next(iter(run["metrics"])), not isinstance(run["seed"], int)
    met = is_enough(problem, np.atleast_1d(run["metrics"][f"{watched}_by_seed" if several else watched]))
    took = np.atleast_1d(run["best"]["step"])[met] * problem.items
    after = f" after {took.mean():,.0f} {problem.item}" if len(took) else ""
    if not several:
        return f"met{after}" if after else "not met"
    return f"met by {len(took)} of {len(met)} seeds" + (f",{after} in the mean" if after else "")


def measured(metrics: Mapping[str, Any], name: str) -> str:
    """A number; of several seeds the mean, and the standard deviation in brackets."""
    spread = f"{name}_std"
    return number(metrics[name]) + (f" (standard deviation {number(metrics[spread])})" if spread in metrics else "")


def throughput(problem: Problem, directory: Path) -> float | None:
    """Items a second in the median step."""
    speeds = [v for line in read_metrics(directory) if (v := line.get(f"{problem.item}_per_second"))]
    return statistics.median(speeds) if speeds else None


def draw(problem: Problem, directory: Path, run: Mapping[str, Any]) -> None:
    """The loss, and the watched split's number beside its anchors: in one panel where they are the same measure."""
    split = problem.splits[0]
    watched = next(iter(run["metrics"]))
    loss, looks = curve(directory, problem.name), curve(directory, watched, 10_000)
    training, judged = {"training": loss}, {watched.replace("_", " "): looks}
    levels = run["anchors"][split]
    if watched == f"{split}_{problem.name}":
        parts = [plots.Panel(measure(problem.name, problem.unit), training | judged, levels)]
    else:
        name = watched.removeprefix(f"{split}_").replace("_", " ")
        below = plots.Panel(measure(name, problem.unit), judged, levels)
        parts = [plots.Panel(f"training {problem.name}", training), below]
    seeds = f", {len(run['seed'])} seeds: mean, lowest, highest" if not isinstance(run["seed"], int) else ""
    title = f"{run['task']}: {directory.resolve().name}{seeds}"
    plots.panels(directory / "learning_curve.png", title, "step", parts)


def measure(name: str, unit: str) -> str:
    """An axis: the unit alone where it says what is measured, as "bits a character" does."""
    if not unit:
        return name
    return unit if unit.lower().startswith(name.lower()) else f"{name} [{unit}]"
