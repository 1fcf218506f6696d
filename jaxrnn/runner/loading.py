"""A finished or unfinished run, brought back: its configuration, its problem and its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxrnn.runner.best import first_best
from jaxrnn.runner.checkpoint import restore
from jaxrnn.runner.config import Trained
from jaxrnn.runner.config.reading import from_options, read_run
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.seeds import member, place_of, seeds_of
from jaxrnn.runner.tasks import TASKS


class Run(NamedTuple):
    name: str  # of the task
    config: Trained
    problem: Problem
    params: PyTree  # of one member
    record: dict[str, Any]


def load_run(directory: Path, k: int = 0, weights: Literal["best", "last"] = "best", **changes: Any) -> Run:
    """The run with member number `k`'s weights; `changes` of its configuration, such as other data, are the caller's.

    Raises ValueError where the directory is no run of the training loop, has no such member, or no intact checkpoint.
    """
    found = read_run(directory)
    name = found["task"]
    if name not in TASKS or not issubclass(TASKS[name].config, Trained):
        known = ", ".join(n for n, task in TASKS.items() if issubclass(task.config, Trained))
        raise ValueError(f"run: {directory} is a run of {name!r}, wanted one of {known}")
    config = from_options(TASKS[name].config, found["config"] | changes, f"{directory / 'run.json'}")
    problem, seeds = remade(directory, found, config), seeds_of(config)
    place_of(k, config.seeds)
    like = jax.eval_shape(problem.layer.init, jax.random.key(0))
    if isinstance(seeds, tuple):
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(seeds), *leaf.shape), leaf.dtype), like)
    if weights == "best":
        params = restore(directory, best=first_best(problem, like, seeds)).trees["best"].params
    else:
        params = restore(directory, params=like).trees["params"]
    params = jax.tree.map(jnp.asarray, member(params, k) if isinstance(seeds, tuple) else params)
    return Run(name, config, problem, params, found)


def remade(directory: Path, found: Mapping[str, Any], config: Trained) -> Problem:
    """The problem of a run.json, with what it kept of its training data. Raises ValueError where that is not usable."""
    try:
        return TASKS[found["task"]].make(config, found.get("assets"))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        if found.get("assets") is None:
            raise
        words = f"assets that {found['task']} cannot use ({type(error).__name__}: {error})"
        raise ValueError(f"run: {directory / 'run.json'} has {words}") from error
