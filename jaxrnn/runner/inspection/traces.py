"""Heat maps of what each recurrent layer keeps, and of the gates that decide it, aligned with what it reads."""

import jax.numpy as jnp
import numpy as np

from jaxrnn.analysis import pca
from jaxrnn.runner.inspection import figures
from jaxrnn.runner.inspection.subject import Figure, Section, Subject, states

MOST = 40  # units shown


def traces(subject: Subject) -> Section:
    found, shown = states(subject.seen), []
    for number, (name, trace) in enumerate(subject.seen.layers.items(), 1):
        own = {key.removeprefix(name).removeprefix(": ") or "h": a for key, a in found.items() if key.startswith(name)}
        first = next(iter(own.values()))
        units = chosen(first)
        which = (
            f"the {len(units)} of {first.shape[-1]} units that change most"
            if len(units) < first.shape[-1]
            else "all units"
        )
        caption = f"{name}: {which}, those that move together side by side."
        panels = {key: a[:, units].T for key, a in own.items() if a.shape[-1] == first.shape[-1]}
        data = {"ticks": subject.ticks, "units": units, "panels": panels}
        shown.append(
            Figure(f"states_{number}", figures.heat_maps, {"title": f"States of {name}", "of": "state"} | data, caption)
        )
        gates = {key: np.asarray(a, np.float32) for key, a in trace.gates.items()}
        wide = {key: a[:, units].T for key, a in gates.items() if a.shape[-1] == first.shape[-1]}
        if wide:
            title = {"title": f"Gates of {name}", "of": "gate"}
            shown.append(Figure(f"gates_{number}", figures.heat_maps, title | data | {"panels": wide}, caption))
    words = (
        "Each row is a unit, each column a step of the input under it. Red is above 0 and blue below; a gate is dark "
        "where it is open (1)."
    )
    return Section("States and gates", words, shown)


def chosen(states: np.ndarray) -> np.ndarray:
    """The units that change most, in the order of their place on the first principal axis."""
    most = np.argsort(-states.std(0), kind="stable")[:MOST]
    axis = np.asarray(pca(jnp.asarray(states[:, most]), 1).axes[0])
    return most[np.argsort(-axis, kind="stable")]
