"""What a batch costs, counted from the program: parameters, operations and bytes, layer by layer and in all."""

import jax

from jaxrnn.analysis import complexity
from jaxrnn.runner import showing
from jaxrnn.runner.inspection import figures
from jaxrnn.runner.inspection.subject import Figure, Section, Subject


def costs(subject: Subject) -> Section:
    T, batch, xs = len(subject.xs), subject.config.batch, subject.xs
    shape = jax.ShapeDtypeStruct((T, batch, *xs.shape[1:]), xs.dtype)
    found = complexity(subject.layer, shape)
    rows = [
        {
            "layer": name,
            "parameters": cost.parameters,
            "operations a step, forward": scaled(cost.forward.flops / (T * batch)),
            "forward": scaled(cost.forward.flops),
            "training": scaled(cost.training.flops),
            "of which products": f"{cost.training.products / max(cost.training.flops, 1):.0%}",
            "bytes moved, training": scaled(cost.training.bytes, "B"),
        }
        for name, cost in found.items()
    ]
    words = (
        f"Of {batch} sequences of {T} steps: floating-point operations, a multiply-add as two, and bytes moved if "
        f"nothing stays in a cache. A step is one of one sequence.\n\n{showing.markdown(rows)}"
    )
    data = {
        "title": f"Operations of a batch ({batch} sequences of {T} steps)",
        "layers": list(found),
        "forward": [cost.forward.flops for cost in found.values()],
        "training": [cost.training.flops for cost in found.values()],
        "parameters": [cost.parameters for cost in found.values()],
    }
    caption = "Training is the gradient of all weights, without the optimiser."
    return Section("What it costs", words, [Figure("costs", figures.costs, data, caption)])


def scaled(value: float, unit: str = "") -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}{unit}"
    return f"{value:.3g}{' ' + unit if unit else ''}"
