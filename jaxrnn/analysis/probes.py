"""Linear probes: can a label be read off the state by a line through it?  Alain & Bengio 2016

Numbers are fitted by ridge regression, in closed form, and scored by R^2. Classes are fitted by multinomial logistic
regression with the same ridge, and scored by the share that is right. Both are scored on steps that were not fitted:
where states follow each other in time those should be a piece of their own, not steps drawn among the others.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from jaxrnn import checks
from jaxrnn.analysis.stepping import widened
from jaxrnn.analysis.tracking import fits, name_of
from jaxrnn.words import describe

ROUNDS = 30  # of logistic regression


class Probe(NamedTuple):
    w: Float[Array, "n k"]  # of the state as it is: states @ w + b
    b: Float[Array, "k"]
    score: Float[Array, ""]  # held out: R^2, or the share of classes that is right
    chance: Float[Array, ""]  # the same score of one answer for all: the fitted part's mean, or its commonest class


def probe(
    states: Float[Array, "T *batch n"],
    labels: PyTree[Shaped[Array, "T *batch"]],
    *,
    mask: Bool[Array, "T *batch"] | None = None,
    held_out: Bool[Array, "T *batch"] | None = None,
    ridge: float = 1.0,
) -> PyTree[Probe]:
    """The line through the state that tells the labels best: numbers for floats, classes for whole numbers and bools.

    For one array of labels a Probe; for a dict, tuple or other pytree of them the same with a Probe for each.

    held_out   the steps to score on [the last quarter of the time]
    ridge      added to the sums of squares of the standardised states

    Under jit and vmap for numbers and for True and False, where the steps are given from outside.
    Raises ValueError on shapes that do not fit, on classes below 0, and where nothing is left to fit or to score.
    """
    checks.floats("probe", "states", states, 2, "[T, *batch, n]")
    fits("probe", states, labels)
    checks.positive("probe", ridge=ridge)
    for name, value in (("mask", mask), ("held_out", held_out)):
        checks.steps("probe", name, value, states.shape[:-1], "states")
    states, T = jnp.asarray(states), states.shape[0]
    late = np.zeros(states.shape[:-1], bool)
    late[T - T // 4 :] = True
    kept = late if held_out is None else np.asarray(held_out)
    real = np.ones_like(late) if mask is None else np.asarray(mask)
    shown, judged = real & ~kept, real & kept  # on the host, so that their sizes are known under jit
    if not (shown.any() and judged.any()):
        counts = f"{int(shown.sum())} steps to fit and {int(judged.sum())} to score"
        raise ValueError(f"probe: there are {counts}, wanted at least 1 of each; see mask and held_out")
    states = widened(states)

    def of_one(path: tuple[Any, ...], labels: Array) -> Probe:
        labels = jnp.asarray(labels)
        if jnp.issubdtype(labels.dtype, jnp.floating):
            return of_numbers(states[shown], labels[shown], states[judged], labels[judged], ridge)
        if labels.dtype == bool:
            k = 2
        elif (least := int(labels[real].min())) < 0:
            raise ValueError(
                f"probe: {name_of(path)} is {describe(labels)} with {least} in it, wanted classes from 0; "
                "mask says which steps are real"
            )
        else:
            k = int(labels[real].max()) + 1
        return of_classes(states[shown], labels[shown].astype(jnp.int32), states[judged], labels[judged], ridge, k)

    return jax.tree.map_with_path(of_one, labels)


@jax.jit
def of_numbers(xs: Array, ys: Array, held: Array, truth: Array, ridge: float) -> Probe:
    ys, truth = ys.astype(xs.dtype), truth.astype(xs.dtype)
    zs, mean, std = standardised(xs)
    w = solve(zs, ridge, zs.T @ (ys - ys.mean())[:, None]) / std[:, None]
    b = ys.mean() - mean @ w
    spread = ((truth - truth.mean()) ** 2).sum()

    def r2(found: Array) -> Array:
        return 1 - ((truth - found) ** 2).sum() / jnp.where(spread > 0, spread, 1)

    return Probe(w, b, r2((held @ w + b)[:, 0]), r2(ys.mean()))


@functools.partial(jax.jit, static_argnames="k")
def of_classes(
    xs: Array, ys: Int[Array, "shown"], held: Array, truth: Int[Array, "judged"], ridge: float, k: int
) -> Probe:
    """By Böhning's bound (1992) with Nesterov's momentum (1983): half of the sums of squares is above the curvature
    everywhere, so that no step size is needed, and one factorisation serves all rounds.
    """
    zs, mean, std = standardised(xs)
    zs = jnp.concatenate([zs, jnp.ones((len(zs), 1), zs.dtype)], 1)
    wanted = jax.nn.one_hot(ys, k, dtype=zs.dtype)
    factor = jax.scipy.linalg.cho_factor(curvature(zs, ridge, 0.5))

    def better(before: tuple[Array, Array], t: Array) -> tuple[tuple[Array, Array], None]:
        w, ahead = before
        slope = zs.T @ (wanted - jax.nn.softmax(zs @ ahead)) - ridge * ahead
        new = ahead + jax.scipy.linalg.cho_solve(factor, slope)
        return (new, new + t / (t + 3) * (new - w)), None

    zero = jnp.zeros((zs.shape[1], k), zs.dtype)
    (w, _), _ = jax.lax.scan(better, (zero, zero), jnp.arange(ROUNDS, dtype=zs.dtype))
    b = w[-1] - (mean / std) @ w[:-1]
    w = w[:-1] / std[:, None]

    def share(found: Array) -> Array:
        return (found.astype(truth.dtype) == truth).mean(dtype=xs.dtype)

    return Probe(w, b, share((held @ w + b).argmax(-1)), share(wanted.sum(0).argmax()))


def standardised(xs: Array) -> tuple[Array, Array, Array]:
    """(xs by the mean and deviation of each unit, the means, the deviations); a unit that never moves has 1."""
    mean, std = xs.mean(0), xs.std(0)
    std = jnp.where(std > 0, std, 1)
    return (xs - mean) / std, mean, std


def curvature(zs: Array, ridge: float, share: float = 1.0) -> Array:
    return share * zs.T @ zs + ridge * jnp.eye(zs.shape[1], dtype=zs.dtype)


def solve(zs: Array, ridge: float, right: Array) -> Array:
    return jax.scipy.linalg.solve(curvature(zs, ridge), right, assume_a="pos")
