"""A run from its first step, or from where it was left, to its report."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from jaxrnn.runner import record
from jaxrnn.runner.best import scored
from jaxrnn.runner.checkpoint import restore, told
from jaxrnn.runner.config import Config, Trained
from jaxrnn.runner.config.reading import from_options, read_run, refuse_changes
from jaxrnn.runner.console import make_console
from jaxrnn.runner.devices import make_mesh
from jaxrnn.runner.memory import keep_freed_memory
from jaxrnn.runner.metrics import keep_until
from jaxrnn.runner.optimizers import make_optimizer
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.processes import joined, run_directory
from jaxrnn.runner.report import measured, write_report
from jaxrnn.runner.seeds import described, first_member, seeds_of
from jaxrnn.runner.tasks import TASKS
from jaxrnn.runner.train import Begun, fit, start


def train(name: str, config: Config, resume: Path | None = None) -> None:
    """Load, so that bad input is found first; then one recorded run."""
    if isinstance(config, Trained):
        return train_problem(name, config, resume)
    data = TASKS[name].module.load(config)
    keep_freed_memory()
    console = make_console()
    with record.recorded(config.out, name, config) as (directory, run), blamed_on(name, directory):
        console.out(f"{name}: run in {directory}", highlight=False)
        words = TASKS[name].module.train(config, data, directory, run, console)
    console.out(f"{name}: {words}, done in {run['seconds']:.1f} s, everything is in {directory}", highlight=False)


def train_problem(name: str, config: Trained, resume: Path | None) -> None:
    """By the loop that all tasks share."""
    seeds_of(config)
    make_optimizer(config)
    problem = make_problem(name, config, resume)
    with joined(config), run_directory(resume or config.out) as out:
        make_mesh(config)
        keep_freed_memory()
        console = make_console()
        about = {"assets": dict(problem.assets), "data_sha256": problem.sha256}
        with record.recorded(out, name, config, about, resume) as (directory, run), blamed_on(name, directory):
            console.out(f"{name}: run in {directory}", highlight=False)
            begun = start(problem, config)
            if resume:
                begun = resumed(name, begun, resume, directory, console)
            ended = fit(name, problem, config, begun, directory, console)
            words = conclude(name, problem, config, ended, directory, run, console)
    console.out(f"{name}: {words}, done in {run['seconds']:.1f} s, everything is in {directory}", highlight=False)


def make_problem(name: str, config: Trained, resume: Path | None = None) -> Problem:
    """Raises ValueError where the run to go on with was another task's, was told otherwise, or had other data."""
    if resume is None:
        return TASKS[name].make(config, None)
    found = read_run(resume)
    refuse_changes(from_options(type(config), found["config"], f"{resume / 'run.json'}"), config)
    problem = TASKS[name].make(config, found["assets"])
    if found["data_sha256"] != problem.sha256:
        raise ValueError(f"data: it has changed since {resume} began; a run goes on with what it began with")
    return problem


def resumed(name: str, begun: Begun, resume: Path, directory: Path, console: Console) -> Begun:
    """Where the newest intact checkpoint left the run, or its beginning where there is none yet."""
    if not any((resume / "checkpoints").glob("[0-9]*")):
        console.out(f"{name}: no checkpoint yet, so it starts over", highlight=False)
        keep_until(directory, 0)
        return begun
    found = restore(resume, **begun.state._asdict(), best=begun.best)
    if found.skipped:
        console.out(f"{name}: passed over damaged checkpoints: {told(found.skipped)}", highlight=False)
    console.out(f"{name}: goes on after step {found.step}", highlight=False)
    best = found.trees.pop("best")
    return Begun(begun.state._replace(**found.trees), best, keep_until(directory, found.step))


def conclude(
    name: str, problem: Problem, config: Trained, ended: Begun, directory: Path, run: dict[str, Any], console: Console
) -> str:
    """Score every split with the best weights, and leave the report. Returns the result in a few words."""
    best, seeds = ended.best, seeds_of(config)
    run["params_sha256"] = record.digest(ended.state.params)
    run["best"] = {"step": np.asarray(best.step).tolist(), "params_sha256": record.digest(best.params)}
    run["parameters"] = sum(np.size(leaf) for leaf in jax.tree.leaves(first_member(best.params, seeds)))
    run["metrics"] = metrics = {}
    run["anchors"] = {split: problem.anchors(split) for split in problem.splits}
    for split in problem.splits:
        for key, values in scored(problem, best.params, split, seeds).items():
            metrics |= described(f"{split}_{key}", values)
    write_report(name, problem, config, directory, run, console)
    if problem.finish:
        problem.finish(first_member(best.params, seeds), directory, console)
    judged = next(key for key in metrics if key.startswith(f"{problem.splits[-1]}_"))
    many = f" over {len(seeds)} seeds" if isinstance(seeds, tuple) else ""
    return f"{measured(metrics, judged)} {problem.unit}{many} ({judged})"


@contextlib.contextmanager
def blamed_on(name: str, directory: Path) -> Iterator[None]:
    """What goes wrong within a run is told in one line; run.json has the traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise RuntimeError(f"{name}: {error}; see {directory / 'run.json'}") from error
