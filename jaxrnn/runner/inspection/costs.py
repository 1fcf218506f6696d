"""What a batch costs, counted from the program: parameters, operations and bytes, layer by layer and in all.

And what it would cost at another width, depth or length, or with another cell that has as many parameters.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax

from jaxrnn import Layer
from jaxrnn.analysis import OTHERS, Cost, complexity, cost, equal_parameters, parameters
from jaxrnn.runner import showing
from jaxrnn.runner.inspection import figures
from jaxrnn.runner.inspection.subject import Figure, Section, Subject
from jaxrnn.types import Spec

COMPARED = ("elman", "gru", "lstm")  # cells at equal parameters


def costs(subject: Subject) -> Section:
    found = complexity(subject.layer, batch(subject))
    T, size = len(subject.xs), subject.config.batch
    rows = [
        {
            "layer": named(subject, name),
            "parameters": f"{each.parameters:,}",
            "operations a step, forward": scaled(each.per_step(each.forward).flops),
            "forward": scaled(each.forward.flops),
            "training": scaled(each.training.flops),
            "of which products": f"{each.training.products / max(each.training.flops, 1):.0%}",
            "bytes moved, training": scaled(each.training.bytes, "B"),
        }
        for name, each in found.items()
    ]
    others = [row(what, each, found["all"]) for what, each in instead(subject)]
    words = [
        f"Of {size} sequences of {T} steps: floating-point operations, a multiply-add as two, and bytes moved if "
        "nothing stays in a cache. A step is one of one sequence.",
        showing.markdown(rows),
        "What it would cost instead; another cell has the width at which it has the most nearly as many parameters. "
        "Operations are counted: how long they take depends on the machine (jaxrnn.analysis.time_against measures it).",
        showing.markdown([row("as it is", found["all"], found["all"]), *others]),
    ]
    data = {
        "title": f"Operations of a batch ({size} sequences of {T} steps)",
        "layers": [named(subject, name) for name in found],
        "forward": [each.forward.flops for each in found.values()],
        "training": [each.training.flops for each in found.values()],
        "parameters": [each.parameters for each in found.values()],
        "instead": others,
    }
    caption = "Training is the gradient of all weights, without the optimiser."
    told = "\n\n".join(words if others else words[:2])
    return Section("What it costs", told, [Figure("costs", figures.costs, data, caption)])


def batch(subject: Subject, longer: int = 1) -> jax.ShapeDtypeStruct:
    """As many sequences as the run has in a batch, each as long as the one shown."""
    T, *features = subject.xs.shape
    return jax.ShapeDtypeStruct((longer * T, subject.config.batch, *features), subject.xs.dtype)


def instead(subject: Subject) -> Iterator[tuple[str, Cost]]:
    """The costs of the networks that the run could have had, by what is different."""
    config, network = subject.config, subject.problem.network
    if network is None:
        return
    options, usual = dataclasses.asdict(config), batch(subject)

    def with_(**changes: Any) -> Layer:
        return network(dataclasses.replace(config, **changes))

    if "units" in options:
        yield f"{2 * options['units']} units", cost(with_(units=2 * options["units"]), usual)
    if "layers" in options:
        yield f"{options['layers'] + 1} layers", cost(with_(layers=options["layers"] + 1), usual)
    longer = with_(history=2 * options["history"]) if subject.problem.steps else subject.layer
    yield f"{2 * len(subject.xs)} steps", cost(longer, batch(subject, longer=2))
    for cell in [name for name in COMPARED if name != options.get("cell")] if "units" in options else []:
        units = equal_parameters(lambda n, cell=cell: with_(cell=cell, units=n), parameters(subject.layer))
        yield f"{cell}, {units} units", cost(with_(cell=cell, units=units), usual)


def row(what: str, each: Cost, now: Cost) -> dict[str, str]:
    return {
        "network": what,
        "parameters": f"{each.parameters:,}",
        "operations a step, forward": scaled(each.per_step(each.forward).flops),
        "training": scaled(each.training.flops),
        "against now": f"{each.training.flops / max(now.training.flops, 1):.2f}",
        "bytes moved, training": scaled(each.training.bytes, "B"),
    }


def named(subject: Subject, layer: str) -> str:
    """The rest by the names of its parts."""
    parts = list(dict.fromkeys(without_state(subject.layer.spec))) if subject.layer.spec else []
    return f"{layer} ({', '.join(parts)})" if layer == OTHERS and parts else layer


def without_state(of: Spec) -> Iterator[str]:
    """The innermost parts that are not recurrent and have weights."""
    if not of.children and of.name not in ("unroll", "dropout", "custom"):
        yield of.name
    for child in of.children if of.name != "unroll" else ():
        yield from without_state(child)


def scaled(value: float, unit: str = "") -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}{unit}"
    return f"{value:.3g}{' ' + unit if unit else ''}"
