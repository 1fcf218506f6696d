"""See inside a network: what it costs, why it is hard to train, and what its states hold.

Every function takes any Layer and arrays, and gives arrays or plain numbers; none draws.
"""

from jaxrnn.analysis.advice import Advice, advise
from jaxrnn.analysis.complexity import Cost, complexity, equal_parameters, parameters
from jaxrnn.analysis.counting import Work, count
from jaxrnn.analysis.diagnosis import Diagnosis, Flow, diagnose
from jaxrnn.analysis.gradients import gradient_norms, group_norms, growth, memory_length, reach, total_norm
from jaxrnn.analysis.jacobians import product_norms, recurrent_radii, step_jacobians
from jaxrnn.analysis.lyapunov import lyapunov
from jaxrnn.analysis.memory import activation_bytes, checkpointed, memory_against_T
from jaxrnn.analysis.observing import Observation, Part, Trace, observe, observe_gradients, observe_loss, parts
from jaxrnn.analysis.saturation import Saturation, dead_units, saturation
from jaxrnn.analysis.scaling import PowerLaw, power_law, time_against, training_seconds

__all__ = [
    "Advice",
    "Cost",
    "Diagnosis",
    "Flow",
    "Observation",
    "Part",
    "PowerLaw",
    "Saturation",
    "Trace",
    "Work",
    "activation_bytes",
    "advise",
    "checkpointed",
    "complexity",
    "count",
    "dead_units",
    "diagnose",
    "equal_parameters",
    "gradient_norms",
    "group_norms",
    "growth",
    "lyapunov",
    "memory_against_T",
    "memory_length",
    "observe",
    "observe_gradients",
    "observe_loss",
    "parameters",
    "parts",
    "power_law",
    "product_norms",
    "reach",
    "recurrent_radii",
    "saturation",
    "step_jacobians",
    "time_against",
    "total_norm",
    "training_seconds",
]
