"""The state space: where the states of the last recurrent layer lie on their principal axes."""

import jax.numpy as jnp
import numpy as np

from jaxrnn.analysis import pca, projected
from jaxrnn.runner.inspection import figures
from jaxrnn.runner.inspection.subject import Figure, Section, Subject, states

AXES, CLOUD, WAYS, WRITTEN = 20, 3000, 8, 50


def space(subject: Subject) -> Section:
    seen = subject.seen_probed or subject.seen
    name = first_of_last(subject)
    every = states(seen)[name]
    flat = every.reshape(-1, every.shape[-1])
    if flat.shape[-1] < 2 or len(flat) < 3:
        raise ValueError("a plane needs two units and three steps")
    found = pca(jnp.asarray(flat), min(AXES, flat.shape[-1]))
    explained = np.asarray(found.explained)
    some = np.unique(np.linspace(0, len(flat) - 1, CLOUD).astype(int))
    cloud = np.asarray(projected(found, jnp.asarray(flat[some])))[:, :2]
    way = np.asarray(projected(found, jnp.asarray(states(subject.seen)[name])))[:, :2]
    kinds = kinds_of(subject, some)
    ways = [way[:WRITTEN] if subject.ticks else way]
    if subject.symbols is None and every.ndim == 3:
        ways = list(np.asarray(projected(found, jnp.asarray(every[:, :WAYS])))[..., :2].swapaxes(0, 1))
    data = {
        "title": f"State space of {name}",
        "cloud": cloud,
        "kinds": kinds,
        "ways": ways,
        "written": subject.ticks and subject.ticks[:WRITTEN],
        "explained": explained,
    }
    total, n = np.cumsum(explained), flat.shape[-1]
    enough = int(np.searchsorted(total, 0.9)) + 1
    needed = f"{enough} of {n} axes hold" if enough <= len(total) else f"More than {len(total)} of {n} axes hold"
    words = (
        f"The states of {name} after {len(flat):,} steps, on their principal axes. {needed} 90 % of the variance; the "
        f"two drawn hold {total[1]:.0%}."
    )
    caption = "Each dot is the state after a step, the line one sequence through them, from the circle to the square."
    return Section("State space", words, [Figure("state_space", figures.plane, data, caption)])


def first_of_last(subject: Subject) -> str:
    """The first state of the recurrent layer nearest to the output."""
    last = list(subject.seen.layers)[-1]
    return next(key for key in states(subject.seen) if key.split(": ")[0] == last)


def kinds_of(subject: Subject, some: np.ndarray) -> dict[str, list[int]]:
    """Which of the dots stand after what kind of symbol; all together where there are no symbols."""
    if subject.symbols is None or subject.probed is None:
        return {}
    read = [subject.symbols[k] for k in np.asarray(subject.probed.xs).reshape(-1)[some]]
    found: dict[str, list[int]] = {}
    for place, symbol in enumerate(read):
        found.setdefault(kind_of(symbol), []).append(place)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def kind_of(symbol: str) -> str:
    first = symbol[:1]
    if first == "\n":
        return "a line's end"
    if first.isspace():
        return "a space"
    if first.isalpha():
        return "a letter" if len(symbol) == 1 else "a word"
    return "a digit" if first.isdigit() else "a sign"
