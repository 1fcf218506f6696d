"""Units that track something: the correlation of each with labels of the user's, step by step."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from jaxrnn import checks
from jaxrnn.analysis.stepping import widened
from jaxrnn.words import describe, short


class Tracking(NamedTuple):
    correlations: Float[Array, "n"]  # Pearson's r of each unit with the labels
    by_chance: Float[Array, ""]  # the largest |r| of any unit, in the mean over labels shifted in time


def track(
    states: Float[Array, "T *batch n"],
    labels: PyTree[Shaped[Array, "T *batch"]],
    *,
    mask: Bool[Array, "T *batch"] | None = None,
    shifts: int = 20,
    key: PRNGKeyArray | None = None,
) -> PyTree[Tracking]:
    """How each unit goes with the labels: numbers, or True and False.

    For one array of labels a Tracking; for a dict, tuple or other pytree of them the same with a Tracking for each:
    `track(h, {"evidence": e, "choice": c})["choice"]`. All are shifted alike.

    Among many units one goes with anything for a while, more so where both change slowly. `by_chance` is what the best
    of them reaches with the same labels shifted in time, round the end of the real steps, by a tenth of them or more:
    what the best |r| should be read against. It is 0 with `shifts` = 0. A unit or labels that never change have r = 0.

    Raises ValueError on shapes that do not fit.
    """
    checks.floats("track", "states", states, 2, "[T, *batch, n]")
    fits("track", states, labels)
    checks.steps("track", "mask", mask, states.shape[:-1], "states")
    checks.size("track", at_least=0, shifts=shifts)
    real = jnp.ones(states.shape[:-1], bool) if mask is None else jnp.asarray(mask)
    T = states.shape[0]
    least = max(T // 10, 1)
    by = jax.random.randint(jax.random.key(0) if key is None else key, (shifts,), least, max(T - least, least) + 1)
    return jax.tree.map(functools.partial(of_one, widened(states), real, by), labels)


def of_one(
    states: Float[Array, "T *batch n"],
    real: Bool[Array, "T *batch"],
    by: Int[Array, "shifts"],
    labels: Shaped[Array, "T *batch"],
) -> Tracking:
    labels = jnp.asarray(labels).astype(states.dtype)
    shifted = jax.vmap(functools.partial(rolled, labels, real))(by)
    found = correlations(states, jnp.concatenate([labels[None], shifted]), real)
    by_chance = jnp.abs(found[1:]).max(-1).mean() if len(by) else jnp.zeros((), states.dtype)
    return Tracking(found[0], by_chance)


@jax.jit
def correlations(states: Array, labels: Float[Array, "k T *batch"], real: Array) -> Float[Array, "k n"]:
    """Pearson's r of each of k labels with each unit, over the real steps; one product for all."""
    count = jnp.maximum(real.sum(), 1).astype(states.dtype)
    a = centred(states.reshape(-1, states.shape[-1]).T, real.reshape(-1), count)
    b = centred(labels.reshape(len(labels), -1), real.reshape(-1), count)
    sizes = jnp.sqrt((b**2).sum(-1)[:, None] * (a**2).sum(-1))
    return jnp.where(sizes > 0, b @ a.T / jnp.where(sizes > 0, sizes, 1), 0)


def centred(rows: Array, real: Array, count: Array) -> Array:
    """Each row less its mean over the real steps, and 0 at the others."""
    return jnp.where(real, rows - jnp.where(real, rows, 0).sum(-1, keepdims=True) / count, 0)


def rolled(labels: Shaped[Array, "T *batch"], real: Bool[Array, "T *batch"], by: Int[Array, ""]) -> Array:
    """Each sequence's real labels moved by as many of its steps as `by` is of T, round the end of the real ones."""
    share, steps = by / len(labels), real.sum(0)
    moved = jnp.round(share * steps.astype(share.dtype)).astype(steps.dtype).clip(1, jnp.maximum(steps - 1, 1))
    which = (jnp.cumsum(real, 0) - 1 - moved) % jnp.maximum(steps, 1)  # the real label that comes here
    places = jnp.take_along_axis(jnp.argsort(~real, 0, stable=True), which, 0)
    return jnp.take_along_axis(labels, places, 0)


def fits(owner: str, states: Array, labels: Any) -> None:
    """Each array of labels has the axes of the states but the units. Raises ValueError."""
    every = jax.tree.leaves_with_path(labels)
    if not every or not all(hasattr(each, "shape") for _, each in every):
        wanted = "an array [T, *batch], or a dict or tuple of such"
        raise ValueError(f"{owner}: labels is {short(labels)}, wanted {wanted}; jnp.asarray makes one")
    for path, each in every:
        name = name_of(path)
        checks.array(owner, name, each, 1, "[T, *batch]")
        if each.shape != states.shape[:-1]:
            wanted = f"{list(states.shape[:-1])}, one a step and sequence as in states"
            raise ValueError(f"{owner}: {name} is {describe(each)}, wanted {wanted}")


def name_of(path: tuple[Any, ...]) -> str:
    """Of one of the labels: labels['choice']."""
    return f"labels{jax.tree_util.keystr(path)}"
