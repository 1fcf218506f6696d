"""Units that track something: the correlation of each with labels of the user's, step by step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from jaxrnn import checks
from jaxrnn.policy import promote
from jaxrnn.words import describe


class Tracking(NamedTuple):
    correlations: Float[Array, "n"]  # Pearson's r of each unit with the labels
    by_chance: Float[Array, ""]  # the largest |r| of any unit, in the mean over labels shifted in time


def track(
    states: Float[Array, "T *batch n"],
    labels: Shaped[Array, "T *batch"],
    *,
    mask: Bool[Array, "T *batch"] | None = None,
    shifts: int = 20,
    key: PRNGKeyArray | None = None,
) -> Tracking:
    """How each unit goes with the labels: numbers, or True and False.

    Among many units one goes with anything for a while, more so where both change slowly. `by_chance` is what the best
    of them reaches with the same labels shifted in time, round the end, by at least a tenth of it: what the best |r|
    should be read against. It is 0 with `shifts` = 0. A unit or labels that never change have r = 0.

    Raises ValueError on shapes that do not fit.
    """
    checks.floats("track", "states", states, 2, "[T, *batch, n]")
    fits("track", states, labels)
    checks.steps("track", "mask", mask, states.shape[:-1], "states")
    checks.size("track", at_least=0, shifts=shifts)
    real = jnp.ones(labels.shape, bool) if mask is None else mask
    wide = promote(states.dtype, jnp.float32)
    states, labels = jnp.asarray(states).astype(wide), jnp.asarray(labels).astype(wide)
    if not shifts:
        return Tracking(correlations(states, labels[None], real)[0], jnp.zeros((), wide))
    T = labels.shape[0]
    least = max(T // 10, 1)
    by = jax.random.randint(jax.random.key(0) if key is None else key, (shifts,), least, max(T - least, least) + 1)
    shifted = jax.vmap(lambda by: jnp.roll(labels, by, 0))(by)
    found = correlations(states, jnp.concatenate([labels[None], shifted]), real)
    return Tracking(found[0], jnp.abs(found[1:]).max(-1).mean())


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


def fits(owner: str, states: Array, labels: Array) -> None:
    """Labels have the axes of the states but the units. Raises ValueError."""
    checks.array(owner, "labels", labels, 1, "[T, *batch]")
    if labels.shape != states.shape[:-1]:
        wanted = f"{list(states.shape[:-1])}, one a step and sequence as in states"
        raise ValueError(f"{owner}: labels is {describe(labels)}, wanted {wanted}")
