"""The numbers of a split, or of the user's own file, beside what they are read against."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrnn import checks
from jaxrnn.runner import showing
from jaxrnn.runner.best import scored
from jaxrnn.runner.commands.options import Eval
from jaxrnn.runner.console import make_console
from jaxrnn.runner.loading import Group, load_group, told_where
from jaxrnn.runner.problem import DataGone, Problem
from jaxrnn.runner.seeds import described


def run(options: Eval) -> None:
    """Print the scores. Raises ValueError where the run has no such split or cannot read the file."""
    console = make_console()
    result = evaluate(options)
    if options.json:
        return console.out(showing.as_json(result), highlight=False)
    unit = f" [{result['unit']}]" if result["unit"] else ""
    said = f"{result['run']}, {result['weights']} weights of step {result['step']}: {result['of']}{unit}"
    console.out(said, highlight=False)
    console.out()
    scores, spread = result["scores"], "_std"
    rows: list[dict[str, Any]] = [
        {"": key, "value": value} | ({"standard deviation": scores[key + spread]} if key + spread in scores else {})
        for key, value in scores.items()
        if not key.endswith((spread, "_by_seed"))
    ]
    showing.show(console, rows + [{"": words, "value": value} for words, value in result["anchors"].items()])
    if "no_anchors" in result:
        words = f"Nothing to read it against: that is counted in the training data. {result['no_anchors']}"
        console.out(words, highlight=False)


def evaluate(options: Eval) -> dict[str, Any]:
    """What --json prints."""
    group = load_group(options.run, options.weights)
    whole = options.data is not None and options.split is None and group.problem.evaluate_file is not None
    if options.data and not whole:
        group = elsewhere(group, options)
    problem = group.problem
    split = options.split or problem.splits[-1]
    checks.choice(group.name, "split", split, problem.splits)
    members = range(group.size) if options.member is None else [options.member]
    try:
        scores, anchors = judge(group, members, split, options.data if whole else None)
    except DataGone as gone:
        way_out = "" if options.data else f"; {way_out_of(gone, options, problem, split)}"
        raise ValueError(f"{gone}{way_out}") from None
    try:
        levels = {"anchors": dict(anchors())}
    except DataGone as gone:  # the user's file has its scores all the same
        levels = {"anchors": {}, "no_anchors": str(gone)}
    return {
        "run": str(options.run),
        "task": group.name,
        "weights": options.weights,
        "step": group.step_of(options.member),
        "of": str(options.data) if whole else f"the {split} part" + (f" of {options.data}" if options.data else ""),
        "seeds": [group.seed_of(k) for k in members],
        "unit": problem.unit,
        "scores": {name: value for key, found in scores.items() for name, value in described(key, found).items()},
        **levels,
    }


def elsewhere(group: Group, options: Eval) -> Group:
    """The run with its data in another place; one that scores a file whole takes no other data for its parts."""
    if "data" not in {field.name for field in dataclasses.fields(group.config)}:
        raise ValueError(f"data: {group.name} makes its own data, wanted no file")
    moved = load_group(options.run, options.weights, data=str(options.data))
    try:
        digest = moved.problem.sha256() if moved.problem.evaluate_file and moved.problem.sha256 else None
    except DataGone as gone:
        raise ValueError(f"{gone}; {told_where(options.run, gone.option)}") from None
    if digest is not None and digest != moved.record.get("data_sha256"):
        whole = f"without --split {options.split} all of it is scored"
        raise ValueError(f"data: {options.data} is not what {options.run} was trained on; {whole}")
    return moved


def way_out_of(gone: DataGone, options: Eval, problem: Problem, split: str) -> str:
    if gone.option != "data":
        return told_where(options.run, gone.option)
    own = ", --data FILE alone a file of your own" if problem.evaluate_file else ""
    return f"jaxrnn eval {options.run} --split {split} --data PLACE scores it where it is now{own}"


def judge(
    group: Group, members: Sequence[int], split: str, file: Path | None
) -> tuple[dict[str, Any], Callable[[], dict[str, float]]]:
    """(numbers, of several members an array of each; anchors when asked), on a file or a part of the run's data."""
    problem = group.problem
    if file is None and len(members) == group.size > 1:
        return scored(problem, group.params, split, group.seeds), lambda: problem.anchors(split)
    if file is not None and problem.evaluate_file:
        judged = [problem.evaluate_file(group.member(k), file) for k in members]
    else:
        judged = [(problem.evaluate(group.member(k), split), lambda: problem.anchors(split)) for k in members]
    values = {name: [scores[name] for scores, _ in judged] for name in judged[0][0]}
    return {name: np.array(each) if len(each) > 1 else each[0] for name, each in values.items()}, judged[0][1]
