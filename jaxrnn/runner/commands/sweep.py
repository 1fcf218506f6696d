"""Many trials of one task, each a run of its own in the sweep's folder, where plan.json says what they are.

A trial that diverges or fails is a row of the table and not the end; an interrupted sweep goes on where it stood.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import matplotlib.figure
from rich.console import Console

from jaxrnn import checks
from jaxrnn.runner import showing
from jaxrnn.runner.commands.options import Sweep
from jaxrnn.runner.config import Trained
from jaxrnn.runner.config.reading import as_options, from_options, read_plan
from jaxrnn.runner.console import make_console
from jaxrnn.runner.files import told
from jaxrnn.runner.locking import locked
from jaxrnn.runner.optimizers import make_optimizer
from jaxrnn.runner.run import train
from jaxrnn.runner.stopping import Stopped
from jaxrnn.runner.summaries import Summary, row, summarize
from jaxrnn.runner.tasks import TASKS
from jaxrnn.runner.trials import Options, folder_name, trials

FINISHED = ("completed", "diverged")


def run(name: str, config: Trained, what: Sweep) -> None:
    """Train what is not finished, then show and leave the table.

    Raises ValueError where the trials are not what the task can be told, RuntimeError where none was completed.
    """
    console = make_console()
    plan = read_plan(what.resume) if what.resume else planned(name, config, what)
    if what.resume and (what.grid or what.draw or as_options(config) != plan["config"]):
        raise ValueError(f"resume: got more options, wanted the folder alone: {what.resume / 'plan.json'} has them")
    if what.print_plan:
        return showing.show(console, [{"trial": t["folder"], **t["options"]} for t in plan["trials"]])
    folder = what.resume or begun(plan, config)
    with locked(folder):
        total = len(plan["trials"])
        console.out(f"sweep: {total} trials of {name} in {folder}", highlight=False)
        failures: dict[str, str] = {}
        for k, trial in enumerate(plan["trials"], 1):
            words = ", ".join(f"{key} {showing.written(value)}" for key, value in trial["options"].items())
            console.out(f"\nsweep: trial {k} of {total}: {words}", highlight=False)
            try:
                attempt(name, plan, trial, folder, console)
            except Stopped as stopped:
                words = f"{str(stopped) or 'sweep: stopped'}; jaxrnn sweep --resume {folder} goes on"
                raise Stopped(stopped.exit_code - 128, words) from None
            except (ValueError, RuntimeError, OSError, FloatingPointError, MemoryError) as error:
                failures[trial["folder"]] = told(error).partition("\n")[0]
                console.out(f"sweep: trial {k}: {failures[trial['folder']]}", highlight=False)
            jax.clear_caches()  # no later trial needs what this one compiled
        conclude(name, plan, folder, failures, console)


def planned(name: str, config: Trained, what: Sweep) -> dict[str, Any]:
    """plan.json: the options that all trials share, and each one's own. What can be refused is refused now."""
    each = trials(what.grid, what.draw, what.trials, what.draw_seed)
    for option in each[0]:
        checks.choice(name, "option", option, [field.name for field in dataclasses.fields(config)])
    options = [given(config, one, "the sweep") for one in each]  # by the types of the fields, as on the command line
    seen: set[tuple[str, Any]] = set()
    for made, one in zip(options, each, strict=True):
        if new := {(key, v) for key in one if isinstance(v := getattr(made, key), str | Path)} - seen:
            seen |= new
            TASKS[name].make(made, None)
            make_optimizer(made)
    own = [{key: as_options(made)[key] for key in one} for made, one in zip(options, each, strict=True)]
    base = as_options(config)
    return {
        "task": name,
        "config": base,
        "draw_seed": what.draw_seed,
        "trials": [{"folder": folder_name(k, one), "options": one} for k, one in enumerate(own, 1)],
    }


def given(config: Trained, options: Options, source: str) -> Trained:
    """The configuration with a trial's options. Raises ValueError where there is no such option or value."""
    return from_options(type(config), as_options(config) | options, source)


def begun(plan: Mapping[str, Any], config: Trained) -> Path:
    """The folder, with its plan."""
    default = Path("runs") / f"sweep-{plan['task']}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = showing.new_folder(config.out or default, "out")
    (folder / "plan.json").write_text(showing.as_json(plan) + "\n", encoding="utf-8")
    return folder


def attempt(name: str, plan: Mapping[str, Any], trial: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Train one trial, from its newest checkpoint where it was interrupted; a finished one is left alone."""
    directory = folder / trial["folder"]
    if directory.is_symlink():
        raise ValueError(f"{directory} is a link; what a trial writes is to stay in the sweep's folder")
    there = (directory / "run.json").exists()
    status = summarize(directory).status if there else None
    if status in FINISHED:
        return console.out(f"sweep: {status} before, in {directory}", highlight=False)
    options = plan["config"] | trial["options"] | {"out": str(directory)}
    made = from_options(TASKS[name].config, options, str(folder / "plan.json"))
    train(name, made, directory if there else None, brief=True)


def conclude(name: str, plan: Mapping[str, Any], folder: Path, failures: Mapping[str, str], console: Console) -> None:
    """The table, best trial first, on the screen and in the folder."""
    rows, runs = table(plan, folder, failures)
    best = next((s for s in runs if s.status == "completed"), None)
    (folder / "sweep.json").write_text(showing.as_json(rows) + "\n", encoding="utf-8")
    varied = list(plan["trials"][0]["options"])
    picture = best is not None and len(varied) <= 2
    if picture and best:
        draw(folder / "sweep.png", varied, rows, best)
    words = f"# A sweep of {name}\n\n{showing.markdown(rows)}\n" + ("\n![The sweep](sweep.png)\n" if picture else "")
    (folder / "sweep.md").write_text(words, encoding="utf-8")
    console.out()
    showing.show(console, rows)
    if best is None:
        raise RuntimeError(f"sweep: no trial of {folder} was completed")
    console.out(f"sweep: the best trial is {best.directory}, the table is in {folder / 'sweep.md'}", highlight=False)


def table(
    plan: Mapping[str, Any], folder: Path, failures: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[Summary]]:
    """A row a trial and the runs there are, by the validation score; what has none comes last."""
    rows: list[tuple[float, dict[str, Any], Summary | None]] = []
    for k, trial in enumerate(plan["trials"], 1):
        directory, why = folder / trial["folder"], failures.get(trial["folder"])
        found = summarize(directory) if (directory / "run.json").exists() else None
        told = row(found, list(trial["options"])) if found else trial["options"] | {"status": "failed"}
        metrics = found.record.get("metrics") if found else None
        score = metrics[found.watched] if found and found.watched and metrics else float("inf")
        sign = -1 if found and metrics and found.judged["better"] == "higher" else 1
        rows.append((sign * score, {"trial": k} | told | ({"why": why} if why else {}), found))
    rows.sort(key=lambda one: one[0])
    kept = [{key: v for key, v in told.items() if key != "run"} for _, told, _ in rows]
    return kept, [found for *_, found in rows if found]


def draw(path: Path, varied: Sequence[str], rows: Sequence[Mapping[str, Any]], best: Summary) -> None:
    """The validation score over the one option, or over the first with a line, or a colour, for the second."""
    score = best.watched or ""
    done = [r for r in rows if r.get(score) is not None]
    figure = matplotlib.figure.Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    first, second = varied[0], varied[1] if len(varied) > 1 else ""
    number = all(isinstance(r[first], int | float) for r in done)
    several: list[Any] = list(dict.fromkeys(r[second] for r in done)) if second else [None]
    label = f"{score.replace('_', ' ')}" + (f" [{best.judged['unit']}]" if best.judged["unit"] else "")
    if number and all(isinstance(value, int | float) for value in several) and len(several) > 6:
        shown = axes.scatter([r[first] for r in done], [r[second] for r in done], c=[r[score] for r in done], s=80)
        figure.colorbar(shown, label=label)
        axes.set_ylabel(second)
        scale(axes.set_yscale, [r[second] for r in done])
    else:
        for value in sorted(several) if all(isinstance(v, int | float) for v in several) else several:
            some = [r for r in done if not second or r[second] == value]
            some = sorted(some, key=lambda r: r[first]) if number else some
            spread = [r.get(f"{score}_std") or 0.0 for r in some]
            xs = [r[first] if number else str(r[first]) for r in some]
            name = None if not second else f"{second} {value}"
            axes.errorbar(xs, [r[score] for r in some], spread, marker="o", capsize=3 if any(spread) else 0, label=name)
        axes.set_ylabel(label)
    if number:
        scale(axes.set_xscale, [r[first] for r in done])
    axes.set(xlabel=first, title=path.parent.resolve().name)
    axes.grid(alpha=0.3)
    if second and axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def scale(set_scale: Any, values: Sequence[float]) -> None:
    """Logarithmic where the numbers spread over more than a factor of eight."""
    if values and min(values) > 0 and max(values) / min(values) > 8:
        set_scale("log")
