"""What single units, and all of them together, know of labels such as the place in a line."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.analysis import probe, track
from jaxrnn.runner import showing
from jaxrnn.runner.inspection import figures, reading
from jaxrnn.runner.inspection.subject import Figure, Section, Subject, states
from jaxrnn.runner.problem import Probed

LAGS = (0, 1, 4, 16)  # steps ago, of an input that should be remembered
MOST_FEATURES = 4
TRACKS = 5


def tracked(subject: Subject) -> Section:
    """Raises ValueError where nothing varies that could be tracked."""
    probed = subject.probed or Probed(subject.xs, {})
    labels = dict(probed.labels) or remembered(np.asarray(probed.xs))
    if not labels:
        raise ValueError("nothing in the input varies enough to be tracked")
    found = states(subject.seen_probed or subject.seen)
    where = [(name, unit) for name, a in found.items() for unit in range(a.shape[-1])]
    every = jnp.concatenate([jnp.asarray(a) for a in found.values()], -1)
    fitted = 3 * int(np.prod(every.shape[:-1])) // 4
    if fitted < every.shape[-1]:
        raise ValueError(f"{fitted} steps are too few to fit a line through {every.shape[-1]} numbers to")
    rows = known(labels, every, where)
    rows.sort(key=lambda r: r["chance"] - r["score"])
    steps = int(np.prod(every.shape[:-1]))
    where_from = "the valid part" if subject.probed else "the input"
    words = (
        f"On {steps:,} steps of {where_from}. A linear probe of all {every.shape[-1]:,} numbers that the network keeps "
        "is fitted on the first three quarters and scored on the rest: by the share that is right for yes or no, by "
        "R^2 for a number. By chance: what always the commonest answer, or the mean, would score. The best single unit "
        "goes with the label by r; by chance: the best |r| when the label is shifted in time.\n\n"
    ) + showing.markdown([table_row(r) for r in rows])
    caption = "The longer the bar beyond its mark, the better it is known."
    shown = [Figure("tracking", figures.probe_scores, scores(rows), caption)]
    tracks = drawn(subject, rows, labels)
    if tracks:
        data = {"title": "Units that track something", "ticks": subject.ticks, "tracks": tracks}
        shown.append(
            Figure(
                "tracking_units",
                figures.tracks,
                data,
                "The unit that goes best with each label, over the sequence shown; r is that of the table.",
            )
        )
    return Section("Units that track something", words, shown)


def known(labels: Mapping[str, np.ndarray], every: jax.Array, where: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """A row for each label; all that are yes or no at once, and all numbers."""
    either = {name: label for name, label in labels.items() if label.dtype == bool}
    numbers = {name: label.astype(np.float32) for name, label in labels.items() if label.dtype != bool}
    look = jax.jit(jax.vmap(lambda every, label: (probe(every, label), track(every, label)), (None, 0)))
    rows = []
    for some in filter(None, (either, numbers)):
        probed, tracked = jax.tree.map(np.asarray, look(every, np.stack([*some.values()])))
        best = np.abs(tracked.correlations).argmax(-1)
        rows += [
            {
                "name": name,
                "binary": some is either,
                "score": float(probed.score[k]),
                "chance": float(probed.chance[k]),
                "layer": where[best[k]][0],
                "unit": where[best[k]][1],
                "r": float(tracked.correlations[k, best[k]]),
                "r_by_chance": float(tracked.by_chance[k]),
            }
            for k, name in enumerate(some)
        ]
    return rows


def remembered(xs: np.ndarray) -> dict[str, np.ndarray]:
    """Of an input without labels: what its features were some steps ago."""
    if xs.ndim < 2 or not np.issubdtype(xs.dtype, np.floating):
        return {}
    found = {}
    for lag in LAGS:
        for k in range(min(xs.shape[-1], MOST_FEATURES)):
            label = np.concatenate([np.full_like(xs[:lag, ..., k], xs[..., k].mean()), xs[: len(xs) - lag, ..., k]])
            if (
                len(xs) >= 8 * max(lag, 1)
                and label[: len(xs) * 3 // 4].std() > 0
                and label[len(xs) * 3 // 4 :].std() > 0
            ):
                ago = "now" if lag == 0 else f"{lag} step{'s' if lag > 1 else ''} ago"
                found[f"input {k + 1} {ago}"] = label
    return found


def table_row(r: Mapping[str, Any]) -> dict[str, str]:
    return {
        "label": r["name"],
        "probe": f"{r['score']:.3f}",
        "by chance": f"{r['chance']:.3f}",
        "best unit": f"{r['unit']} of {r['layer']}",
        "r": f"{r['r']:.2f}",
        "|r| by chance": f"{r['r_by_chance']:.2f}",
    }


def scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "title": "What the state knows",
        "names": [r["name"] for r in rows],
        "score": [r["score"] for r in rows],
        "chance": [r["chance"] for r in rows],
        "r": [abs(r["r"]) for r in rows],
        "r_by_chance": [r["r_by_chance"] for r in rows],
        "units": [{"layer": r["layer"], "unit": r["unit"], "r": r["r"]} for r in rows],
    }


def drawn(
    subject: Subject, rows: Sequence[Mapping[str, Any]], labels: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """The best-tracked labels over the sequence that is shown, where they are known there."""
    if subject.symbols is not None:
        here = reading.labels([subject.symbols[k] for k in subject.xs])
    elif subject.probed is not None:
        here = {}  # the sequence shown need not be among the probed
    else:
        here = labels
    moving = {name: label for name, each in here.items() if np.ptp(label := each.astype(float)) > 0}
    own = states(subject.seen)
    best = sorted((r for r in rows if r["name"] in moving), key=lambda r: r["r_by_chance"] - abs(r["r"]))[:TRACKS]
    return [{**r, "state": own[r["layer"]][:, r["unit"]], "label": moving[r["name"]]} for r in best]
