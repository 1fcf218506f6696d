"""Gates that stand at their ends, where their gradient is almost nothing, and units that never move."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrnn.analysis.observing import Trace

ENDS = 0.1  # of a gate's range from either end (Karpathy et al. 2015, fig. 2)
STILL = 1e-3  # of the layer's root mean square


Scalar = Float[Array, ""] | float


class Saturation(NamedTuple):
    """Of a gate over all real steps, sequences and units."""

    low: Scalar  # the share within ENDS of its lower end: 0, or -1 for a tanh
    high: Scalar  # the share within ENDS of 1
    mean: Scalar


def saturation(trace: Trace) -> dict[str, Saturation]:
    """By the cell's names of its gates. One that is ever below 0 counts as a tanh, from -1 to 1, others from 0 to 1."""
    return {name: _of(gate, trace.mask) for name, gate in trace.gates.items()}


def dead_units(trace: Trace) -> Bool[Array, "n"]:
    """The units of h whose value is the same at all real steps of all sequences, as a ReLU's that is always 0.

    The same within STILL of the layer's root mean square; of a carry without an h, the units of y.
    """
    h = getattr(trace.carry, "h", trace.ys)
    real = _real(h, trace.mask)
    over = tuple(range(h.ndim - 1))
    high = jnp.max(h, over, where=real, initial=-jnp.inf)
    low = jnp.min(h, over, where=real, initial=jnp.inf)
    size = jnp.sqrt(jnp.mean(jnp.square(h), where=real))
    return ~(high - low > STILL * size)


def _of(gate: Float[Array, "T *batch n"], mask: Bool[Array, "T *batch"] | None) -> Saturation:
    real = _real(gate, mask)
    lowest = jnp.where(jnp.min(gate) < 0, -1, 0).astype(gate.dtype)
    edge = ENDS * (1 - lowest)
    low = jnp.mean(gate < lowest + edge, where=real, dtype=gate.dtype)
    high = jnp.mean(gate > 1 - edge, where=real, dtype=gate.dtype)
    return Saturation(low, high, jnp.mean(gate, where=real))


def _real(a: Array, mask: Bool[Array, "T *batch"] | None) -> Bool[Array, "..."]:
    return jnp.ones_like(a, bool) if mask is None else jnp.broadcast_to(mask[..., None], a.shape)
