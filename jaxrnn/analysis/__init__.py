"""See inside a network: what it costs, why it is hard to train, and what its states hold.

Every function takes any Layer and arrays, and gives arrays or plain numbers; none draws. One changes what is learnt:
`regularised_gradients`.
"""

from jaxrnn.analysis.advice import Advice, advise
from jaxrnn.analysis.complexity import OTHERS, Cost, complexity, cost, equal_parameters, parameters
from jaxrnn.analysis.counting import Work, count
from jaxrnn.analysis.diagnosis import Diagnosis, Flow, diagnose
from jaxrnn.analysis.fixed_points import (
    FixedPoints,
    fixed_points,
    kind,
    scattered,
    time_constants,
    trajectory,
    unstable,
)
from jaxrnn.analysis.gradients import gradient_norms, group_norms, growth, memory_length, reach, total_norm
from jaxrnn.analysis.jacobians import product_norms, recurrent_radii, step_jacobians
from jaxrnn.analysis.linearisation import Linearised, linearised
from jaxrnn.analysis.lyapunov import lyapunov, running_lyapunov
from jaxrnn.analysis.memory import activation_bytes, checkpointed, memory_against_T
from jaxrnn.analysis.observing import Observation, Trace, observe, observe_gradients, observe_loss
from jaxrnn.analysis.pca import Pca, pca, projected
from jaxrnn.analysis.preserving import regularised_gradients
from jaxrnn.analysis.probes import Probe, probe
from jaxrnn.analysis.saliency import Attribution, gradient_times_input, integrated_gradients
from jaxrnn.analysis.saturation import Saturation, dead_units, saturation
from jaxrnn.analysis.scaling import PowerLaw, power_law, time_against, training_seconds
from jaxrnn.analysis.stepping import flattened
from jaxrnn.analysis.tracking import Tracking, track

__all__ = [
    "OTHERS",
    "Advice",
    "Attribution",
    "Cost",
    "Diagnosis",
    "FixedPoints",
    "Flow",
    "Linearised",
    "Observation",
    "Pca",
    "PowerLaw",
    "Probe",
    "Saturation",
    "Trace",
    "Tracking",
    "Work",
    "activation_bytes",
    "advise",
    "checkpointed",
    "complexity",
    "cost",
    "count",
    "dead_units",
    "diagnose",
    "equal_parameters",
    "fixed_points",
    "flattened",
    "gradient_norms",
    "gradient_times_input",
    "group_norms",
    "growth",
    "integrated_gradients",
    "kind",
    "linearised",
    "lyapunov",
    "memory_against_T",
    "memory_length",
    "observe",
    "observe_gradients",
    "observe_loss",
    "parameters",
    "pca",
    "power_law",
    "probe",
    "product_norms",
    "projected",
    "reach",
    "recurrent_radii",
    "regularised_gradients",
    "running_lyapunov",
    "saturation",
    "scattered",
    "step_jacobians",
    "time_against",
    "time_constants",
    "total_norm",
    "track",
    "training_seconds",
    "trajectory",
    "unstable",
]
