"""A run from its first step, or from where it was left, to its report."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from jaxrnn.runner import record
from jaxrnn.runner.best import scored
from jaxrnn.runner.checkpoint import restore, room_for, steps_of, told
from jaxrnn.runner.config import Config, Trained
from jaxrnn.runner.config.reading import from_options, read_run, refuse_changes
from jaxrnn.runner.console import make_console
from jaxrnn.runner.devices import make_mesh
from jaxrnn.runner.files import told as told_of
from jaxrnn.runner.intact import refuse_links
from jaxrnn.runner.loading import remade, told_where
from jaxrnn.runner.memory import keep_freed_memory
from jaxrnn.runner.metrics import keep_until
from jaxrnn.runner.optimizers import make_optimizer
from jaxrnn.runner.problem import DataGone, Problem
from jaxrnn.runner.processes import joined, run_directory
from jaxrnn.runner.report import criterion, measured, show_scores, throughput, write_report
from jaxrnn.runner.seeds import described, first_member, seeds_of
from jaxrnn.runner.stopping import Stopped, on_abandoning
from jaxrnn.runner.tasks import TASKS
from jaxrnn.runner.tensorboard import check_tensorboard
from jaxrnn.runner.train import Begun, fit, start


def train(name: str, config: Config, resume: Path | None = None, *, brief: bool = False, kept: bool = True) -> None:
    """Load, so that bad input is found first; then one recorded run.

    brief   the scores and samples are in the report alone
    kept    False where the directory goes away, so that nobody is sent there
    """
    if isinstance(config, Trained):
        return train_problem(name, config, resume, brief, kept)
    data = TASKS[name].module.load(config)
    keep_freed_memory()
    console = make_console()
    with record.recorded(config.out, name, config) as (directory, run), blamed_on(name, directory, kept):
        begin(name, config, directory, kept, console)
        words = TASKS[name].module.train(config, data, directory, run, console)
    finish(name, words, run, directory, kept, console)


def begin(name: str, config: Config, directory: Path, kept: bool, console: Console) -> None:
    if kept:
        own = ", on the task's own data" if getattr(config, "data", ...) is None else ""
        console.out(f"{name}: run in {directory}{own}", highlight=False)


def finish(name: str, words: str, run: dict[str, Any], directory: Path, kept: bool, console: Console) -> None:
    where = f", everything is in {directory}" if kept else ""
    console.out(f"{name}: {words}, done in {run['seconds']:.1f} s{where}", highlight=False)


def train_problem(name: str, config: Trained, resume: Path | None, brief: bool, kept: bool) -> None:
    """By the loop that all tasks share."""
    seeds_of(config)
    make_optimizer(config)
    check_tensorboard(config)
    problem = make_problem(name, config, resume)
    with joined(config), run_directory(resume or config.out) as out:
        make_mesh(config)
        keep_freed_memory()
        console = make_console()
        begun = start(problem, config)
        if jax.process_index() == 0:
            room_for(out or Path("runs"), begun.state, begun.best)
        with (
            record.recorded(out, name, config, about(problem), resume) as (directory, run),
            blamed_on(name, directory, kept),
        ):
            begin(name, config, directory, kept, console)
            if resume:
                begun = resumed(name, config, begun, resume, directory, console)
            ended = fit(name, problem, config, begun, directory, console)
            words = conclude(name, problem, config, ended, directory, run, Console(quiet=True) if brief else console)
    finish(name, words, run, directory, kept, console)


def about(problem: Problem) -> dict[str, Any]:
    """What run.json says of a problem from the start."""
    params = jax.eval_shape(problem.layer.init, jax.random.key(0))
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "judged": {"split": problem.splits[0], "loss": problem.name, "better": problem.better, "unit": problem.unit},
        "assets": dict(problem.assets),
        "data_sha256": problem.sha256 and problem.sha256(),
    }


def make_problem(name: str, config: Trained, resume: Path | None = None) -> Problem:
    """Raises ValueError where the run to go on with is another task's, or further, or had other options or data."""
    if resume is None:
        return TASKS[name].make(config, None)
    found = read_run(resume)
    refuse_links(resume)
    if found["task"] != name:
        raise ValueError(f"resume: {resume} is a run of {found['task']!r}, got {name!r}")
    before = from_options(type(config), found["config"], f"{resume / 'run.json'}")
    stays = {"out": before.out} if config.out in (None, resume) else {}  # also where the directory was moved
    if found.get("data_sha256"):  # wherever the data are now: what they are is compared below
        stays |= {name: getattr(before, name) for name in ("data", "test_data") if hasattr(config, name)}
    refuse_changes(before, dataclasses.replace(config, **stays))
    if (step := max(steps_of(resume / "checkpoints"), default=0)) > config.steps:
        raise ValueError(f"steps: got {config.steps}, {resume} has taken {step} already")
    problem = remade(resume, found, config)
    try:
        now = problem.sha256 and problem.sha256()
    except DataGone as gone:
        raise ValueError(f"{gone}; {told_where(resume, gone.option)}") from None
    if found.get("data_sha256") != now:
        raise ValueError(f"data: it has changed since {resume} began; a run goes on with what it began with")
    return problem


def resumed(name: str, config: Trained, begun: Begun, resume: Path, directory: Path, console: Console) -> Begun:
    """Where the newest intact checkpoint left the run, or its beginning where there is none yet."""
    if not steps_of(resume / "checkpoints"):
        console.out(f"{name}: no checkpoint yet, so it starts over", highlight=False)
        keep_until(directory, 0)
        return begun
    found = restore(resume, **begun.state._asdict(), best=begun.best)
    if found.skipped:
        console.out(f"{name}: passed over damaged checkpoints: {told(found.skipped)}", highlight=False)
    console.out(f"{name}: goes on after step {found.step}", highlight=False)
    best = found.trees.pop("best")
    seconds = keep_until(directory, found.step - (found.pending is not None))
    return Begun(begun.state._replace(**found.trees), best, seconds, found.pending)


def conclude(
    name: str, problem: Problem, config: Trained, ended: Begun, directory: Path, run: dict[str, Any], console: Console
) -> str:
    """Score every split with the best weights, and leave the report. Returns the result in a few words."""
    best, seeds = ended.best, seeds_of(config)
    run["params_sha256"] = record.digest(ended.state.params)
    run["best"] = {"step": np.asarray(best.step).tolist(), "params_sha256": record.digest(best.params)}
    run["metrics"] = metrics = {}
    run["anchors"] = {split: problem.anchors(split) for split in problem.splits}
    for split in problem.splits:
        for key, values in scored(problem, best.params, split, seeds).items():
            metrics |= described(f"{split}_{key}", values)
    run["step"] = int(np.max(ended.state.step))
    if speed := throughput(problem, directory):
        run["throughput"] = speed
    show_scores(problem, run, console)
    if problem.finish:
        if isinstance(seeds, tuple):
            console.out(f"{name}: of seed {seeds[0]}, the first of {len(seeds)}:", highlight=False)
        problem.finish(first_member(best.params, seeds), directory, console)
    write_report(name, problem, config, directory, run, ended.seconds)
    judged = next(key for key in metrics if key.startswith(f"{problem.splits[-1]}_"))
    many = f" over {len(seeds)} seeds" if isinstance(seeds, tuple) else ""
    unit = f" {problem.unit}" if problem.unit else ""
    met = "" if problem.enough is None else f"criterion {criterion(problem, run)}; "
    return f"{met}{measured(metrics, judged)}{unit}{many} ({judged})"


@contextlib.contextmanager
def blamed_on(name: str, directory: Path, kept: bool) -> Iterator[None]:
    """What goes wrong within a run is told in one line; run.json has the traceback."""
    try:
        with on_abandoning(lambda number: print(f"jaxrnn: {left(name, directory, kept)}", file=sys.stderr)):
            yield
    except (ValueError, OSError) as error:
        raise RuntimeError(f"{name}: {told_of(error)}; see {directory / 'run.json'}") from error
    except Stopped as stopped:
        raise Stopped(stopped.number, left(name, directory, kept), stopped.agreed) from stopped


def left(name: str, directory: Path, kept: bool) -> str:
    """What a run that was asked to stop has on the disk."""
    if jax.process_index() > 0:
        return f"{name}: stopped, as process 0 was"
    if not kept:
        return f"{name}: stopped; nothing is kept"
    step = next(iter(steps_of(directory / "checkpoints")), None)
    if step is None:
        return f"{name}: stopped before its first step was saved in {directory}"
    return f"{name}: stopped at step {step}, which is saved in {directory}"
