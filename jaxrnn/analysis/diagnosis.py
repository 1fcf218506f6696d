"""All that tells how training fares at one batch, in one pass: the gradient's way through time, where it arrives, and
the gates and units that let little through.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.analysis.gradients import gradient_norms, group_norms
from jaxrnn.analysis.observing import observe_gradients
from jaxrnn.analysis.saturation import Saturation, Scalar, dead_units, saturation
from jaxrnn.types import Params


class Flow(NamedTuple):
    """Of one recurrent layer."""

    gradient: Float[Array, "T"] | np.ndarray  # ||dL/dh_t||
    saturation: dict[str, Saturation]
    dead: Scalar  # the share of units that never move


class Diagnosis(NamedTuple):
    loss: Scalar
    gradient: dict[str, Any]  # the norm of each group of params' gradient, by its place
    weights: dict[str, Any]  # and of the params themselves
    layers: dict[str, Flow]


def diagnose(function: Callable[..., tuple[Any, Any]], params: Params, *rest: Any) -> Diagnosis:
    """function(params, *rest) -> (loss, aux), looked on while it is differentiated. Raises ValueError as `observe`."""
    (loss, _), gradient, layers = observe_gradients(function, params, *rest)
    flows = {
        name: Flow(gradient_norms(trace), saturation(trace), jnp.mean(dead_units(trace), dtype=trace.ys.dtype))
        for name, trace in layers.items()
    }
    return Diagnosis(loss, group_norms(gradient), group_norms(params), flows)
