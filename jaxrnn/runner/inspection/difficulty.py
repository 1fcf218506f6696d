"""Why the network is easy or hard to train: the gradient's way back through time, how far memory goes, and advice."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.analysis import advise, diagnose, growth, lyapunov, memory_length, reach, recurrent_radii, total_norm
from jaxrnn.runner import plots, showing
from jaxrnn.runner.draws import noise
from jaxrnn.runner.inspection import figures
from jaxrnn.runner.inspection.subject import Figure, Section, Subject


def difficulty(subject: Subject) -> Section:
    problem, params = subject.problem, subject.params
    seed = subject.config.seeds[0] if subject.config.seeds else subject.config.seed
    batch, key = jax.tree.map(jnp.asarray, problem.batch(seed, 0)), noise(seed, 0)
    found = jax.jit(lambda params, carry: diagnose(problem.loss, params, carry, batch, key))(
        params, problem.carry(params)
    )
    start = problem.layer.carry((), params)
    back = jax.jit(lambda params, xs: reach(problem.layer, params, start, xs, key=key))(params, jnp.asarray(subject.xs))
    radii = recurrent_radii(params)
    rows = [
        {
            "layer": name,
            "change of the loss's gradient (dL/dh) per step back": growth(np.asarray(flow.gradient)),
            "steps that the last output remembers": memory_length(np.asarray(back[name])) if name in back else None,
            "dead units": f"{float(flow.dead):.1%}",
        }
        | {f"{gate} at an end": f"{float(ends.low + ends.high):.0%}" for gate, ends in flow.saturation.items()}
        for name, flow in found.layers.items()
    ]
    norm = float(total_norm(found.gradient))
    advice = advise(found, radii=radii, reach=back)
    words = [
        f"On one batch of the training part the norm of the whole gradient is {norm:.3g}. Where the loss's gradient "
        "for the state changes by less than 1 per step back it vanishes, by more than 1 it explodes. The last output "
        "remembers as many steps back as a small change of the state still moves it by 1/e of what one at the last "
        "step does; a memory of stable states, as a switch is, holds for longer. Back is towards the first step, also "
        "of a layer that reads from the end.",
        showing.markdown(rows),
        exponent(subject, key),
        radii_told(radii),
        "What stands out, and what the library has for it where training is slow or stuck:"
        if advice
        else "Nothing stands out.",
        "\n".join(f"* {each}" for each in advice),
    ]
    profiles = {name: np.asarray(flow.gradient) for name, flow in found.layers.items()}
    data = {
        "title": "The gradient through time",
        "gradient": profiles,
        "reach": {name: np.asarray(norms) for name, norms in back.items()},
        "groups": {name: float(value) for name, value in found.gradient.items()},
    }
    caption = (
        "Above: the norm of the gradient of a batch's loss for the state of each step. Below: how strongly the last "
        "output depends on each earlier state, over the sequence shown."
    )
    told = "\n\n".join(filter(None, words))
    return Section("How the gradient fares", told, [Figure("gradients", draw, data, caption)])


def draw(path: Path, data: figures.Data) -> None:
    """One panel each."""
    loss, output = "gradient of the loss\n||dL/dh_t||", "effect on the last output\n||dy_last/dh_t||"
    parts = [
        plots.Panel(loss, curves(data["gradient"]), x_label="step of the batch", log=True),
        plots.Panel(output, curves(data["reach"]), x_label="step of the sequence shown", log=True),
    ]
    plots.panels(path, data["title"], "step", parts)


def curves(norms: dict[str, list[float]]) -> dict[str, plots.Curve]:
    """What is 0 has no place on a logarithmic scale."""
    return {name: (range(len(each)), [n or np.nan for n in each]) for name, each in norms.items()}


def exponent(subject: Subject, key: jax.Array) -> str:
    layer, params = subject.layer, subject.params
    try:
        largest = jax.jit(lambda params, xs: lyapunov(layer, params, layer.carry((), params), xs, key=key))(
            params, jnp.asarray(subject.xs)
        )
    except ValueError:  # a network that reads from the end
        return ""
    value = float(largest[0])
    return (
        f"The largest Lyapunov exponent over the sequence is {value:.3g} a step: small differences between two states "
        f"change by the factor {np.exp(value):.3g} with each step in the mean."
    )


def radii_told(radii: dict[str, list[float]]) -> str:
    each = "; ".join(f"{name}: {', '.join(f'{r:.2f}' for r in values)}" for name, values in radii.items())
    return f"The spectral radius of each block of the recurrent weights: {each}." if radii else ""
