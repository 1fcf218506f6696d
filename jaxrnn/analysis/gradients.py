"""How the gradient fares on its way back through time, and which weights it reaches.

||dL/dh_t||, t = T-1, ..., 0        falls where gradients vanish, grows where they explode (Hochreiter 1991,
                                    Bengio et al. 1994, Pascanu et al. 2013)
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray, PyTree

from jaxrnn.analysis.observing import Trace, observe
from jaxrnn.layers import has_time
from jaxrnn.types import Carry, Layer, Params


def gradient_norms(trace: Trace) -> Float[Array, "T"]:
    """||dL/dh_t|| over batch and units, for every t. Of a carry without an h, over all that it holds.

    Raises ValueError on a trace without a gradient.
    """
    if trace.gradient is None:
        raise ValueError("gradient_norms: the trace has no gradient, wanted one; observe(..., loss=f) gives it")
    T = trace.ys.shape[0]
    leaves = jax.tree.leaves(getattr(trace.gradient, "h", trace.gradient))
    states = jnp.concatenate([leaf.reshape(T, -1) for leaf in leaves], axis=1)
    largest = jnp.max(jnp.abs(states), axis=1, keepdims=True, initial=0)
    scale = jnp.where(largest > 0, largest, 1)  # the square of what has vanished would be 0
    return scale[:, 0] * jnp.linalg.norm(states / scale, axis=1)


def group_norms(tree: PyTree[Array]) -> dict[str, Float[Array, ""]]:
    """The norm of each array in params, or in a gradient like them, by its place: "1.w_h"."""
    named = jax.tree.leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): jnp.linalg.norm(leaf.ravel()) for path, leaf in named
    }


def reach(
    layer: Layer,
    params: Params,
    carry: Carry,
    xs: Array,
    *,
    key: PRNGKeyArray,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> dict[str, Float[Array, "T"]]:
    """How strongly the last output depends on each earlier state: ||v' dy_last/dh_t||, by recurrent layer.

    v is a random direction for each sequence, drawn from `key`; the norm is over batch and units. Unlike dL/dh_t of a
    loss that has a part at every step, this tells how far back memory goes. With a mask, wrap the layer in `last`.
    """
    timed = has_time(layer.spec)

    def towards(ys: Array) -> Array:
        y = ys[-1] if timed else ys
        return jnp.sum(y * jax.random.normal(key, y.shape, y.dtype))

    seen = observe(layer, params, carry, xs, mask=mask, reset=reset, loss=towards)
    return {name: gradient_norms(trace) for name, trace in seen.layers.items()}


def memory_length(norms: Sequence[float] | ArrayLike) -> int:
    """Over how many steps back norms [T] stay above 1/e of the last one; T where all of them do.

    The norms of `reach`, or of any gradient whose loss stands at the end.
    """
    back = np.asarray(norms, np.float64)[::-1]
    below = np.flatnonzero(~(back > back[0] / math.e)) if len(back) else []
    return int(below[0]) if len(below) else len(back)


def growth(norms: Sequence[float] | ArrayLike) -> float:
    """The factor by which norms [T] change per step back in time: below 1 they vanish, above 1 they explode.

    exp of minus the slope of a line through log norms by least squares; 0 where every earlier norm is 0, and 1 where
    there are no two to compare.
    """
    norms = np.asarray(norms, np.float64)
    at = np.flatnonzero(norms > 0)
    if len(at) < 2:
        return 0.0 if len(at) == 1 and at[0] > 0 else 1.0
    return float(math.exp(-np.polyfit(at, np.log(norms[at]), 1)[0]))


def total_norm(groups: dict[str, Any]) -> Any:
    """The norm of the whole gradient, from those of its groups: what `clip` compares."""
    return jnp.sqrt(sum(jnp.square(norm) for norm in groups.values()))
