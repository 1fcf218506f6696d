"""See inside a network: what it costs, why it is hard to train, and what its states hold.

Every function takes any Layer and arrays, and gives arrays or plain numbers; none draws.
"""

from jaxrnn.analysis.observing import Observation, Part, Trace, observe, observe_loss, parts

__all__ = ["Observation", "Part", "Trace", "observe", "observe_loss", "parts"]
