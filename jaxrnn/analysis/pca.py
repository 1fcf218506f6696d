"""The state space by its principal axes: where most of what the states do can be seen in a plane."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrnn import checks
from jaxrnn.analysis.stepping import widened


class Pca(NamedTuple):
    mean: Float[Array, "n"]
    axes: Float[Array, "k n"]  # of length 1, at right angles, the widest first
    explained: Float[Array, "k"]  # share of the variance along each


def pca(states: Float[Array, "*any n"], k: int = 3, mask: Bool[Array, "*any"] | None = None) -> Pca:
    """The k principal axes (Pearson 1901) of states with any leading axes, by a singular value decomposition.

    k is lowered to the number of states or units where it is above. An axis points where its largest number is
    positive, so that the same states give the same picture. `mask` says which states are real. States narrower than
    float32 are widened to it.

    Raises ValueError where there is no real state.
    """
    checks.floats("pca", "states", states, 2, "[..., n]")
    checks.size("pca", k=k)
    checks.steps("pca", "mask", mask, states.shape[:-1], "states")
    states = widened(states)
    flat = states.reshape(-1, states.shape[-1]) if mask is None else states[mask]
    if not len(flat):
        raise ValueError("pca: there is no real state, wanted at least 1; see mask")
    mean, axes, explained = _axes(flat)
    return Pca(mean, axes[:k], explained[:k])


@jax.jit
def _axes(flat: Float[Array, "N n"]) -> Pca:
    """All of them."""
    mean = flat.mean(0)
    _, sizes, axes = jnp.linalg.svd(flat - mean, full_matrices=False)
    axes = axes * jnp.sign(jnp.take_along_axis(axes, jnp.abs(axes).argmax(1, keepdims=True), 1))
    variances = sizes**2
    return Pca(mean, axes, variances / jnp.maximum(variances.sum(), jnp.finfo(flat.dtype).tiny))


def projected(found: Pca, states: Float[Array, "*any n"]) -> Float[Array, "*any k"]:
    """States, those of `pca` or others, by their places on its axes."""
    return (widened(states) - found.mean) @ found.axes.T
