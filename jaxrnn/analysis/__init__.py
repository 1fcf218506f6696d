"""See inside a network: what it costs, why it is hard to train, and what its states hold.

Every function takes any Layer and arrays, and gives arrays or plain numbers; none draws.
"""

from jaxrnn.analysis.fixed_points import (
    FixedPoints,
    fixed_points,
    kind,
    scattered,
    time_constants,
    trajectory,
    unstable,
)
from jaxrnn.analysis.observing import Observation, Part, Trace, observe, observe_loss, parts
from jaxrnn.analysis.pca import Pca, pca, projected
from jaxrnn.analysis.probes import Probe, probe
from jaxrnn.analysis.saliency import Attribution, gradient_times_input, integrated_gradients
from jaxrnn.analysis.tracking import Tracking, track

__all__ = [
    "Attribution",
    "FixedPoints",
    "Observation",
    "Part",
    "Pca",
    "Probe",
    "Trace",
    "Tracking",
    "fixed_points",
    "gradient_times_input",
    "integrated_gradients",
    "kind",
    "observe",
    "observe_loss",
    "parts",
    "pca",
    "probe",
    "projected",
    "scattered",
    "time_constants",
    "track",
    "trajectory",
    "unstable",
]
