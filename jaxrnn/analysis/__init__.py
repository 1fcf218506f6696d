"""See inside a network: what it costs, why it is hard to train, and what its states hold.

Every function takes any Layer and arrays, and gives arrays or plain numbers; none draws.
"""

from jaxrnn.analysis.advice import Advice, advise
from jaxrnn.analysis.diagnosis import Diagnosis, Flow, diagnose
from jaxrnn.analysis.gradients import gradient_norms, group_norms, growth, memory_length, reach, total_norm
from jaxrnn.analysis.jacobians import product_norms, recurrent_radii, step_jacobians
from jaxrnn.analysis.lyapunov import lyapunov
from jaxrnn.analysis.observing import Observation, Part, Trace, observe, observe_gradients, observe_loss, parts
from jaxrnn.analysis.saturation import Saturation, dead_units, saturation

__all__ = [
    "Advice",
    "Diagnosis",
    "Flow",
    "Observation",
    "Part",
    "Saturation",
    "Trace",
    "advise",
    "dead_units",
    "diagnose",
    "gradient_norms",
    "group_norms",
    "growth",
    "lyapunov",
    "memory_length",
    "observe",
    "observe_gradients",
    "observe_loss",
    "parts",
    "product_norms",
    "reach",
    "recurrent_radii",
    "saturation",
    "step_jacobians",
    "total_norm",
]
