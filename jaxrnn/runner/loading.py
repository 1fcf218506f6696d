"""A finished or unfinished run, brought back: its configuration, its problem and its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.runner.best import first_best
from jaxrnn.runner.checkpoint import restore
from jaxrnn.runner.config import Trained
from jaxrnn.runner.config.reading import from_options, read_run
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.seeds import Seeds, member, place_of, seeds_of
from jaxrnn.runner.tasks import TASKS


class Run(NamedTuple):
    name: str  # of the task
    config: Trained
    problem: Problem
    params: PyTree  # of one member
    record: dict[str, Any]


class Group(NamedTuple):
    """A run with the weights of all its members."""

    name: str  # of the task
    config: Trained
    problem: Problem
    params: PyTree  # NumPy arrays; of several seeds, axis 0 is theirs
    record: dict[str, Any]
    steps: Any  # after which each member's weights were taken

    @property
    def seeds(self) -> Seeds:
        return seeds_of(self.config)

    @property
    def size(self) -> int:
        return len(self.seeds) if isinstance(self.seeds, tuple) else 1

    def member(self, k: int) -> PyTree:
        """One member's own weights. Raises ValueError where the run has no such member."""
        place_of(k, self.config.seeds)
        return jax.tree.map(jnp.asarray, member(self.params, k) if isinstance(self.seeds, tuple) else self.params)

    def seed_of(self, k: int) -> int:
        return self.seeds[k] if isinstance(self.seeds, tuple) else self.seeds

    def step_of(self, k: int | None) -> Any:
        """A number; of all members, a list."""
        steps = np.asarray(self.steps).tolist()
        return steps[k] if isinstance(steps, list) and k is not None else steps


def load_group(directory: Path, weights: Literal["best", "last"] = "best", **changes: Any) -> Group:
    """The run with all members' weights; `changes` of its configuration, such as other data, are the caller's.

    Raises ValueError where the directory is no run of the training loop, or has no intact checkpoint.
    """
    found = read_run(directory)
    name = found["task"]
    if name not in TASKS or not issubclass(TASKS[name].config, Trained):
        known = ", ".join(n for n, task in TASKS.items() if issubclass(task.config, Trained))
        raise ValueError(f"run: {directory} is a run of {name!r}, wanted one of {known}")
    config = from_options(TASKS[name].config, found["config"] | changes, f"{directory / 'run.json'}")
    problem, seeds = remade(directory, found, config), seeds_of(config)
    like = jax.eval_shape(problem.layer.init, jax.random.key(0))
    if isinstance(seeds, tuple):
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(seeds), *leaf.shape), leaf.dtype), like)
    if weights == "best":
        best = restore(directory, best=first_best(problem, like, seeds)).trees["best"]
        return Group(name, config, problem, best.params, found, best.step)
    last = restore(directory, params=like)
    steps = np.full(len(seeds), last.step) if isinstance(seeds, tuple) else last.step
    return Group(name, config, problem, last.trees["params"], found, steps)


def load_run(directory: Path, k: int = 0, weights: Literal["best", "last"] = "best", **changes: Any) -> Run:
    """The run with member number `k`'s weights.

    Raises ValueError as `load_group` does, and where the run has no such member.
    """
    group = load_group(directory, weights, **changes)
    return Run(group.name, group.config, group.problem, group.member(k), group.record)


def told_where(directory: Path, option: str) -> str:
    """The way out where a run's data are gone."""
    told = f"--{option.replace('_', '-')} PLACE"
    return f"if it has moved, jaxrnn train --resume {directory} {told} tells the run where it is"


def remade(directory: Path, found: Mapping[str, Any], config: Trained) -> Problem:
    """The problem of a run.json, with what it kept of its training data. Raises ValueError where that is not usable."""
    try:
        return TASKS[found["task"]].make(config, found.get("assets"))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        if found.get("assets") is None:
            raise
        words = f"assets that {found['task']} cannot use ({type(error).__name__}: {error})"
        raise ValueError(f"run: {directory / 'run.json'} has {words}") from error
