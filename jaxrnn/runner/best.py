"""The best weights so far, by the first number of the first split; of several seeds, each its own."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, PyTree

from jaxrnn.runner.problem import Problem
from jaxrnn.runner.seeds import Seeds, described, member


class Best(NamedTuple):
    """Host arrays; with several seeds, axis 0 is theirs."""

    score: Any  # float64
    step: Any  # int64; 0: no look yet
    params: PyTree


def first_best(problem: Problem, params: PyTree, seeds: Seeds) -> Best:
    worst = np.inf if problem.better == "lower" else -np.inf
    shape = () if isinstance(seeds, int) else (len(seeds),)
    return Best(np.full(shape, worst), np.zeros(shape, np.int64), params)


def look(problem: Problem, best: Best, step: int, params: PyTree, seeds: Seeds) -> tuple[Best, dict[str, Any]]:
    """Score the first split: the best so far, and what metrics.jsonl is to say."""
    split = problem.splits[0]
    scores = scored(problem, params, split, seeds)
    now = np.asarray(next(iter(scores.values())), np.float64)
    improved = (now < best.score if problem.better == "lower" else now > best.score) & np.isfinite(now)

    def pick(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        return np.where(improved.reshape(improved.shape + (1,) * (np.ndim(new) - improved.ndim)), new, old)

    kept = Best(pick(now, best.score), pick(np.asarray(step), best.step), jax.tree.map(pick, params, best.params))
    return kept, {name: v for k, values in scores.items() for name, v in described(f"{split}_{k}", values).items()}


def scored(problem: Problem, params: PyTree, split: str, seeds: Seeds) -> dict[str, Any]:
    """The split's numbers; of several seeds, an array of each."""
    if isinstance(seeds, int):
        return dict(problem.evaluate(params, split))
    if problem.evaluate_together:
        return problem.evaluate_together(params, split)
    each = [problem.evaluate(member(params, k), split) for k in range(len(seeds))]
    return {name: np.array([one[name] for one in each]) for name in each[0]}


def out_of_patience(best: Best, step: int, patience: int) -> bool:
    """No seed has had a better look for so many steps."""
    return bool((step - best.step >= patience).all())


def good_enough(problem: Problem, best: Best) -> bool:
    """Every seed has had the number that the task asks for."""
    return problem.enough is not None and bool(is_enough(problem, best.score).all())


def is_enough(problem: Problem, scores: Any) -> Bool[np.ndarray, "*seeds"]:
    """Which of the numbers are those that the task asks for. The task asks for one."""
    return np.asarray(scores <= problem.enough if problem.better == "lower" else scores >= problem.enough)
