"""What to do about gradients that vanish or explode, in words: what was found, what the library has for it, and why."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.analysis.diagnosis import Diagnosis, Flow
from jaxrnn.analysis.gradients import growth, total_norm

VANISHED = 1e-2  # the gradient at the farthest step, as a share of its largest
EXPLODED = 10.0  # the same the other way, and a gradient's norm against the usual one
SATURATED = 0.5  # of a gate's values at one end
DEAD = 0.1  # of a layer's units


class Advice(NamedTuple):
    finding: str
    remedy: str  # names of the library: a cell, an option, a function
    why: str

    def __str__(self) -> str:
        return f"{self.finding} Try {self.remedy}: {self.why}"


def advise(
    diagnosis: Diagnosis,
    *,
    usual_norm: float | None = None,
    radii: Mapping[str, list[float]] | None = None,
    reach: Mapping[str, Any] | None = None,
) -> list[Advice]:
    """What stands out; nothing where all is well.

    usual_norm   the whole gradient's norm in other steps, say the median so far, against which this one is large
    radii        of `recurrent_radii`
    reach        of `reach`: judged in place of dL/dh_t, which a loss at every step keeps from falling
    """
    found = _exploding_norm(diagnosis, usual_norm)
    for name, flow in diagnosis.layers.items():
        norms = _back(name, flow, reach)
        found += _through_time(name, flow, norms, usual_norm or float(total_norm(diagnosis.gradient)))
        found += _saturated(name, flow, len(norms)) + _dead(name, flow)
    return found + _radii(radii or {}, diagnosis, reach)


def _back(name: str, flow: Flow, reach: Mapping[str, Any] | None) -> np.ndarray:
    return np.asarray((reach or {}).get(name, flow.gradient), np.float64)


def _exploding_norm(diagnosis: Diagnosis, usual: float | None) -> list[Advice]:
    norm = float(total_norm(diagnosis.gradient))
    if not np.isfinite(norm):
        return [
            Advice(
                "The gradient is not finite.",
                f"--clip {usual or 1.0:.2g} and a lower --rate",
                "a norm above the clip is scaled down to it before the step is taken (Pascanu et al. 2013).",
            )
        ]
    if usual is None or norm <= EXPLODED * usual:
        return []
    return [
        Advice(
            f"The gradient's norm is {norm:.3g}, {norm / usual:.0f} times the usual {usual:.3g}.",
            f"--clip {usual:.2g}",
            "rare steep walls in the loss then move the weights no farther than a usual step, in the same direction "
            "(Pascanu et al. 2013, who clip at half to ten times the usual norm).",
        )
    ]


def _through_time(name: str, flow: Flow, norms: np.ndarray, clip_at: float) -> list[Advice]:
    """Of the profile of the gradient over time, from the first step to the last."""
    there = np.flatnonzero(norms > 0)
    if not len(there) or not np.isfinite(norms).all():
        return []
    largest, first, last = float(norms.max()), float(norms[0]), float(norms[there[-1]])
    back, rate = int(there[-1]), growth(norms)
    if first < VANISHED * largest and rate < 1:
        a_step = "" if rate == 0 else f", {100 * (1 - rate):.2g} % a step"
        finding = (
            f"{name}: the gradient falls to {first / largest:.1g} of its size over {back} steps{a_step}: it vanishes."
        )
        return [_longer_memory(name, finding, flow, len(norms))]
    if first * VANISHED > last and rate > 1:
        return [
            Advice(
                f"{name}: the gradient grows {first / last:.1g}-fold over {back} steps back: it explodes.",
                f"--clip {clip_at:.2g}, and initialize(cell, w_h=jax.nn.initializers.orthogonal())",
                "clipping bounds the step that follows from it; an orthogonal start neither stretches nor shrinks what "
                "is carried back (Saxe et al. 2014).",
            )
        ]
    return []


def _longer_memory(name: str, finding: str, flow: Flow, T: int) -> Advice:
    """A gate, where there is none; one that is open, where there is."""
    if not flow.saturation:
        return Advice(
            finding,
            "a gated cell (--cell lstm or gru), or irnn",
            "the factor per step is then a gate near 1 that is learned, not a product of weights and slopes "
            "(Gers et al. 2000), or begins as the identity (Le et al. 2015).",
        )
    span = "begun near 1 - 1/T, gates span T steps (Jozefowicz et al. 2015; Tallec & Ollivier 2018)."
    if not _forgets(name, flow):
        return Advice(finding, f"chrono(gru(...), longest={T}), or lstm with a forget bias", span)
    mean = float(flow.saturation["f"].mean)
    return Advice(
        f"{finding} Gate f is {mean:.2f} in the mean.",
        f"forget_bias=2, or chrono(lstm(...), longest={T})",
        f"a gate that keeps {mean:.2f} of the state a step keeps {mean**T:.1g} of it over {T}; {span}",
    )


def _forgets(name: str, flow: Flow) -> bool:
    """Whether f is the share of the state that is kept: in an mgu it is the share that is new."""
    return "f" in flow.saturation and "lstm" in name.partition(" ")[0]


def _saturated(name: str, flow: Flow, T: int) -> list[Advice]:
    found = []
    for gate, ends in flow.saturation.items():
        low, high = float(ends.low), float(ends.high)
        if gate == "f" and _forgets(name, flow):
            if low > SATURATED:
                found.append(_longer_memory(name, f"{name}: {100 * low:.0f} % of gate f is shut.", flow, T))
        elif low + high > SATURATED:
            found.append(
                Advice(
                    f"{name}: {100 * (low + high):.0f} % of gate {gate} stands at its ends.",
                    "lstm_layernorm or gru_layernorm, a lower --rate, or --weight-decay",
                    "there the slope of the gate is almost 0, and what it is made from hardly learns (Ba et al. 2016).",
                )
            )
    return found


def _dead(name: str, flow: Flow) -> list[Advice]:
    share = float(flow.dead)
    if share <= DEAD:
        return []
    return [
        Advice(
            f"{name}: {100 * share:.0f} % of its units never move.",
            "a lower --rate, --clip, or tanh in place of relu",
            "a ReLU that is 0 everywhere has no gradient and stays so; large steps bring units there.",
        )
    ]


def _radii(radii: Mapping[str, list[float]], diagnosis: Diagnosis, reach: Mapping[str, Any] | None) -> list[Advice]:
    """Of cells without gates alone: a gate's block has no part of its own in the factor per step.

    Nor of a large radius where what flows back falls nevertheless: a logistic unit's slope is 1/4 at most.
    """
    gated, falling = [], []
    for name, flow in diagnosis.layers.items():
        at = name.partition(" ")[2]
        gated += [at] if flow.saturation else []
        falling += [at] if round(growth(_back(name, flow, reach)), 2) < 1 else []
    found = []
    for place, (radius, *more) in radii.items():
        left = gated + falling if radius > 1 else gated
        owner = place.removesuffix("w_h").rstrip(".")
        if more or any(owner == at or owner.startswith(f"{at}.") for at in left) or 0.5 <= radius <= 1.5:
            continue
        found.append(
            Advice(
                f"{place}: the spectral radius of the recurrent weights is {radius:.2f}.",
                "initialize(cell, w_h=jax.nn.initializers.orthogonal())",
                f"states and gradients {'grow' if radius > 1 else 'shrink'} by about that factor a step, times the "
                "activation's slope, 1 at most for tanh and relu; a radius of 1 keeps them (Pascanu et al. 2013, "
                "section 2.1).",
            )
        )
    return found
