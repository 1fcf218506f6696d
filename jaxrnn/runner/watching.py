"""--watch gradients: at every look, how the gradient of the step to come makes its way; and what a report says of it.

Nothing of the training depends on it: the weights are looked on, the batch and the noise are those that the next step
has by its number alone. Of several seeds the first is watched.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxrnn.analysis import Diagnosis, Flow, Saturation, advise, diagnose, total_norm
from jaxrnn.runner import plots
from jaxrnn.runner.draws import noise
from jaxrnn.runner.metrics import read_metrics
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.seeds import Seeds, first_member

PICTURE = "gradients.png"


def make_watch(problem: Problem, seeds: Seeds, params: PyTree, carry: PyTree) -> Callable[..., dict[str, Any]]:
    """watch(params, carry, step) -> {"watch": what metrics.jsonl is to say}, from arrays on the host.

    `params` and `carry` are any that the run may have. Raises ValueError where the loss cannot be looked into.
    """
    seed = seeds if isinstance(seeds, int) else seeds[0]

    @jax.jit
    def look(params: PyTree, carry: PyTree, step: Any, batch: PyTree) -> Diagnosis:
        return diagnose(problem.loss, params, carry, batch, noise(seed, step))

    def given(params: PyTree, carry: PyTree, step: int) -> tuple[Any, ...]:
        return *first_member((params, carry), seeds), np.int32(step), problem.batch(seed, step)

    def watch(params: PyTree, carry: PyTree, step: int) -> dict[str, Any]:
        found = look(*given(params, carry, step))
        values = jax.tree.map(rounded, found._replace(layers={}))._asdict()
        layers = {name: jax.tree.map(rounded, told(flow)) for name, flow in found.layers.items()}
        return {"watch": values | {"norm": rounded(total_norm(found.gradient)), "layers": layers}}

    jax.eval_shape(look, *given(params, carry, 0))  # what cannot be watched is refused before the first step
    return watch


def told(flow: Flow) -> dict[str, Any]:
    """As JSON has it: a gate's saturation is [low, high, mean]."""
    return flow._asdict() | {"saturation": {gate: list(ends) for gate, ends in flow.saturation.items()}}


def rounded(a: Any) -> Any:
    """Four digits are enough to look at."""
    return np.vectorize(lambda number: float(f"{number:.4g}"), otypes=[float])(np.asarray(a, float)).tolist()


def section(directory: Path) -> str:
    """The part of report.md about the looks that were watched, and its picture; nothing where none was."""
    lines = [line for line in read_metrics(directory) if "watch" in line]
    if not lines:
        return ""
    draw(directory, lines)
    norms = [line["watch"]["norm"] for line in lines if line["watch"]["norm"] is not None]
    found = advise(read(lines[-1]["watch"]), usual_norm=float(np.median(norms)) if norms else None)
    words = [f"* {advice}" for advice in found] or ["* Nothing stands out at the last look."]
    return "\n".join(["## How the gradient fares", "", *words, "", f"![The gradient through time]({PICTURE})"])


def read(watched: dict[str, Any]) -> Diagnosis:
    """A Diagnosis as a line of metrics.jsonl has it, where null stands for a number that is not finite."""
    tree = jax.tree.map(lambda a: np.nan if a is None else a, watched, is_leaf=lambda a: a is None)
    layers = {
        name: Flow(
            np.asarray(flow["gradient"], float),
            {gate: Saturation(*ends) for gate, ends in flow["saturation"].items()},
            flow["dead"],
        )
        for name, flow in tree["layers"].items()
    }
    return Diagnosis(tree["loss"], tree["gradient"], tree["weights"], layers)


def draw(directory: Path, lines: list[dict[str, Any]]) -> None:
    """Each layer's profile at the first, the middle and the last look, and the groups of params over all looks."""
    shown = [lines[k] for k in sorted({0, len(lines) // 2, len(lines) - 1})]
    steps = [line["step"] for line in lines]

    def over_steps(value: Callable[[dict[str, Any]], float | None]) -> plots.Curve:
        return steps, [np.nan if (found := value(line["watch"])) is None else found for line in lines]

    parts = [
        plots.Panel(
            f"gradient of the loss\n||dL/dh_t||, {name}",
            {
                f"step {line['step']:,}": (
                    range(len(profile := line["watch"]["layers"][name]["gradient"])),
                    [np.nan if norm is None else norm for norm in profile],
                )
                for line in shown
            },
            x_label="t",
            log=True,
        )
        for name in lines[-1]["watch"]["layers"]
    ]
    groups = {name: over_steps(lambda w, name=name: w["gradient"][name]) for name in lines[-1]["watch"]["gradient"]}
    parts.append(plots.Panel("norm of the gradient", groups, x_label="step", log=True))
    gates = {
        f"{gate}, {name}": over_steps(lambda w, name=name, gate=gate: sum(w["layers"][name]["saturation"][gate][:2]))
        for name, flow in lines[-1]["watch"]["layers"].items()
        for gate in flow["saturation"]
    }
    if gates:
        parts.append(plots.Panel("saturated share", gates, x_label="step"))
    plots.panels(directory / PICTURE, f"{directory.resolve().name}: the gradient through time", "", parts)
