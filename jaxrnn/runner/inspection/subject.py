"""The network that is looked into, what it reads meanwhile, and what is found about it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxrnn import Layer
from jaxrnn.analysis import Observation, observe
from jaxrnn.runner.config import Trained
from jaxrnn.runner.problem import DataGone, Probed, Problem
from jaxrnn.runner.symbols import Symbols

SHOWN_SYMBOLS = {" ": "\u2423", "\n": "\u23ce", "\t": "\u21e5"}  # what would not be seen


class Subject(NamedTuple):
    """One sequence through one network."""

    config: Trained
    problem: Problem
    params: PyTree
    xs: np.ndarray  # [T, ...]
    seen: Observation  # of xs
    probed: Probed | None
    seen_probed: Observation | None  # of probed.xs

    @property
    def layer(self) -> Layer:
        return self.problem.layer

    @property
    def symbols(self) -> Symbols | None:
        return self.problem.symbols

    @property
    def ticks(self) -> list[str] | None:
        """What stands at each step, where that can be written."""
        if self.symbols is None:
            return None
        return [SHOWN_SYMBOLS.get(self.symbols[k], self.symbols[k]) for k in self.xs]


class Figure(NamedTuple):
    name: str  # of its files: NAME.png and NAME.json
    draw: Callable[[Path, Mapping[str, Any]], None]
    data: Mapping[str, Any]  # all that the picture shows
    caption: str


class Section(NamedTuple):
    title: str
    words: str  # Markdown
    figures: Sequence[Figure] = ()


def subject_of(config: Trained, problem: Problem, params: PyTree, xs: np.ndarray) -> Subject:
    """Raises ValueError where no recurrent layer of the network can be looked on."""
    look = jax.jit(lambda params, carry, xs: observe(problem.layer, params, carry, xs))

    def seen(xs: Any, batch: tuple[int, ...]) -> Observation:
        return look(params, problem.layer.carry(batch, params), xs)

    try:
        probed = problem.probed() if problem.probed else None
    except DataGone:  # what is tracked is then looked for in xs
        probed = None
    features = 0 if problem.symbols is not None else 1
    batch = () if probed is None else probed.xs.shape[1 : probed.xs.ndim - features]
    return Subject(config, problem, params, xs, seen(xs, ()), probed, seen(probed.xs, batch) if probed else None)


def states(seen: Observation) -> dict[str, np.ndarray]:
    """What each recurrent layer keeps from step to step, [T, *batch, n], by layer and name: "lstm 1: c"."""
    found = {}
    for name, trace in seen.layers.items():
        for path, leaf in jax.tree.leaves_with_path(trace.carry):
            part = jax.tree_util.keystr(path, simple=True, separator=".")
            found[f"{name}: {part}" if part else name] = np.asarray(leaf, np.float32)
    return found
