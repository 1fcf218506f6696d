"""Which steps of the input the outputs rest on: of a symbol's log-probability, or of a task's largest outputs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.analysis import Attribution, integrated_gradients
from jaxrnn.analysis.saliency import symbols
from jaxrnn.runner.inspection import figures
from jaxrnn.runner.inspection.subject import SHOWN_SYMBOLS, Figure, Section, Subject

OUTPUTS = 6
HALVINGS, TOLERANCE = 16, 0.02  # of integrated_gradients, which ends before where it can
INCOMPLETE = 0.1  # of the gain: what does not add up better than this is marked


def rests_on(subject: Subject) -> Section:
    ys = np.asarray(subject.seen.ys, np.float64)
    T = len(subject.xs)
    by_step = ys.shape[:1] == (T,) and ys.ndim == 2
    if subject.symbols is not None and by_step:
        places = list(range(max(T - 1 - OUTPUTS, 1), T - 1))  # step t predicts the symbol at t + 1
        wanted = [int(subject.xs[t + 1]) for t in places]
    elif by_step:
        places = sorted({int(t) for t in np.linspace(min(4, T - 1), T - 1, min(OUTPUTS, T))})
        wanted = [int(np.abs(ys[t]).argmax()) for t in places]
    else:
        places, wanted = [], []
    explain = explainer(subject, by_step)
    found = [explain(t, k) for t, k in zip(places, wanted, strict=True)]
    if by_step:
        which = clearest(subject, found, places, wanted, ys)
        one, place, output = found[which], places[which], wanted[which]
    else:
        place, output = T - 1, int(np.abs(ys).argmax())
        one = explain(place, output)
    many = np.array([rows(a.values) for a in found])
    data = {
        "title": "What the outputs rest on (integrated gradients)",
        "ticks": subject.ticks,
        "one": np.asarray(one.values),
        "one_title": named(subject, ys, place, output, by_step),
        "many": many if len(many) else [],
        "many_title": "The same for other outputs: a row each",
        "rows": [
            row_name(subject, ys, t, k) + " *" * (not complete(a))
            for a, t, k in zip(found, places, wanted, strict=True)
        ],
        "rows_label": "predicted" if subject.symbols is not None else "output",
        "outputs": [{"step": t, "output": k} for t, k in zip(places, wanted, strict=True)],
        "missing": [float(a.missing) for a in (found or [one])],
    }
    caption = (
        "Red speaks for the output, blue against it; all of a row adds up to the output less what it would be with "
        "nothing read."
    )
    words = told(subject, found or [one], places or [place])
    return Section("What the outputs rest on", words, [Figure("saliency", figures.attribution, data, caption)])


def explainer(subject: Subject, by_step: bool) -> Callable[[int, int], Attribution]:
    """(step, output) -> what each input gives to it; compiled once for all of them."""
    layer = subject.layer

    @jax.jit
    def explain(params: Any, xs: Array, t: Array, k: Array) -> Attribution:
        def of(ys: Array) -> Float[Array, ""]:
            y = ys[t] if by_step else ys
            y = y.astype(jnp.float32)
            return (jax.nn.log_softmax(y) if subject.symbols is not None else y)[..., k].sum()

        return integrated_gradients(layer, params, xs, of, halvings=HALVINGS, tolerance=TOLERANCE)

    xs = jnp.asarray(subject.xs)
    if subject.symbols is not None and symbols(layer.spec) is None:  # symbols that are read as they are
        xs = jax.nn.one_hot(xs, len(subject.symbols))
    return lambda t, k: jax.tree.map(np.asarray, explain(subject.params, xs, jnp.asarray(t), jnp.asarray(k)))


def rows(values: Any) -> np.ndarray:
    """One number a step."""
    return values.reshape(len(values), -1).sum(1)


def complete(found: Attribution) -> bool:
    """Whether the parts add up to the gain, or nearly so."""
    return abs(float(found.missing)) <= INCOMPLETE * abs(float(found.values.sum() + found.missing))


def reach(sizes: np.ndarray) -> float:
    """How many steps back what counts lies, in the mean."""
    back = np.arange(len(sizes))[::-1]
    return float((sizes * back).sum() / max(sizes.sum(), 1e-30))


def clearest(subject: Subject, found: list[Attribution], places: list[int], wanted: list[int], ys: np.ndarray) -> int:
    """The output that rests on what is furthest back; among symbols, of those that the network expected."""
    back = [reach(np.abs(rows(a.values[: t + 1]))) for a, t in zip(found, places, strict=True)]
    if subject.symbols is not None:
        sure = [probability(ys[t], k) for t, k in zip(places, wanted, strict=True)]
        back = [b if p >= min(0.5, max(sure)) else -1.0 for b, p in zip(back, sure, strict=True)]
    return int(np.argmax([b if complete(a) else -2.0 for a, b in zip(found, back, strict=True)]))


def told(subject: Subject, found: list[Attribution], places: list[int]) -> str:
    whole = [(a, t) for a, t in zip(found, places, strict=True) if complete(a)]
    what = "The log-probability of the symbol that came next" if subject.symbols is not None else "The largest output"
    begins = f"{what} was traced back to every step that was read before, {len(found)} time{'s' * (len(found) > 1)}."
    if len(whole) < len(found):
        begins += (
            f" In {len(found) - len(whole)} (marked *) the parts do not add up to the whole: the network switches on "
            "so thin a sliver of the way from nothing to the input that no gradient meets it. Do not rest on those."
        )
    if not whole:
        return begins
    sizes = [np.abs(rows(a.values[: t + 1])) for a, t in whole]
    within = float(np.median([size[::-1][:5].sum() / max(size.sum(), 1e-30) for size in sizes]))
    back = float(np.median([reach(size) for size in sizes]))
    missing = max(abs(float(a.missing)) for a, _ in whole)
    which = "The parts" if len(whole) == len(found) else "In the others the parts"
    return (
        f"{begins} In the median {within:.0%} of the attribution lies on the last 5 steps read, and it lies "
        f"{back:.1f} steps back in the mean. {which} add up to the whole within {missing:.2g} (completeness)."
    )


def named(subject: Subject, ys: np.ndarray, t: int, k: int, by_step: bool) -> str:
    if subject.symbols is not None and by_step:
        return (
            f"What speaks for \u201c{shown(subject, k)}\u201d after step {t} (probability {probability(ys[t], k):.1%})"
        )
    when = f" at step {t}" if by_step else ""
    y = ys[t] if by_step else ys
    return f"What output {k + 1}{when} rests on, which is {y[..., k].sum():.3g}"


def row_name(subject: Subject, ys: np.ndarray, t: int, k: int) -> str:
    if subject.symbols is not None:
        return f"{shown(subject, k)}  {probability(ys[t], k):.0%}"
    return f"step {t}: output {k + 1}"


def shown(subject: Subject, k: int) -> str:
    assert subject.symbols is not None
    return SHOWN_SYMBOLS.get(subject.symbols[k], subject.symbols[k])


def probability(logits: np.ndarray, k: int) -> float:
    shares = np.exp(logits - logits.max())
    return float(shares[k] / shares.sum())
