"""The numbers of a split, or of the user's own file, beside what they are read against."""

import dataclasses
from typing import Any

import numpy as np

from jaxrnn import checks
from jaxrnn.runner import showing
from jaxrnn.runner.commands.options import Eval
from jaxrnn.runner.console import make_console
from jaxrnn.runner.loading import Group, load_group
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.seeds import described


def run(options: Eval) -> None:
    """Print the scores. Raises ValueError where the run has no such split or cannot read the file."""
    console = make_console()
    result = evaluate(options)
    if options.json:
        return console.out(showing.as_json(result), highlight=False)
    unit = f" in {result['unit']}" if result["unit"] else ""
    console.out(f"{result['run']}, {result['weights']} weights of step {result['step']}: {result['of']}{unit}")
    console.out()
    scores, spread = result["scores"], "_std"
    rows: list[dict[str, Any]] = [
        {"": key, "value": value} | ({"standard deviation": scores[key + spread]} if key + spread in scores else {})
        for key, value in scores.items()
        if not key.endswith((spread, "_by_seed"))
    ]
    showing.show(console, rows + [{"": words, "value": value} for words, value in result["anchors"].items()])


def evaluate(options: Eval) -> dict[str, Any]:
    """What --json prints."""
    changes: dict[str, Any] = {}
    group = load_group(options.run, options.weights)
    if options.data and group.problem.evaluate_file is None:
        if "data" not in {field.name for field in dataclasses.fields(group.config)}:
            raise ValueError(f"data: {group.name} makes its own data, wanted no file")
        changes = {"data": str(options.data)}
        group = load_group(options.run, options.weights, **changes)
    problem = group.problem
    split = options.split or problem.splits[-1]
    whole = bool(options.data) and not changes  # the task reads the whole file
    if whole and options.split:
        raise ValueError(f"split: got {options.split!r} beside data, which is scored whole")
    checks.choice(group.name, "split", split, problem.splits)
    members = range(group.size) if options.member is None else [options.member]
    judged = [judge(problem, group.member(k), options, split, whole) for k in members]
    numbers = {
        name: value
        for key in judged[0][0]
        for name, value in described(key, scores_of(group, [scores[key] for scores, _ in judged])).items()
    }
    return {
        "run": str(options.run),
        "task": group.name,
        "weights": options.weights,
        "step": group.step_of(options.member),
        "of": str(options.data) if whole else f"the {split} part" + (f" of {options.data}" if options.data else ""),
        "seeds": [group.seed_of(k) for k in members],
        "unit": problem.unit,
        "scores": numbers,
        "anchors": judged[0][1],
    }


def judge(problem: Problem, params: Any, options: Eval, split: str, whole: bool) -> tuple[dict, dict]:
    """(numbers, anchors) of one member's weights."""
    if whole and problem.evaluate_file and options.data:
        return problem.evaluate_file(params, options.data)
    return dict(problem.evaluate(params, split)), dict(problem.anchors(split))


def scores_of(group: Group, values: list[float]) -> Any:
    return np.array(values) if len(values) > 1 else values[0]
