"""What the continual grammar can be told."""

import dataclasses
from typing import ClassVar, Literal

from jaxrnn.runner.config.base import Count, Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cerg(Trained):
    """Embedded Reber strings one after another without end, of Gers et al. 2000: what may come next, each seed a trial.
    Scores: the mean length of a stream up to its first error, and whether a trial is perfect, or good.

    Parameters
    ----------
    cell
        lstm2000, in the paper's blocks and with its biases, or another name of jaxrnn.CELLS, as wide.
    forget
        Whether lstm2000 has forget gates.
    batch
        Streams that are read side by side.
    length
        Symbols between updates; the state is handed on, the gradient is not.
    stream
        Symbols that a stream has to be predicted for; an error ends it before.
    """

    SMOKE: ClassVar = {"batch": 4, "length": 20, "stream": 300, "steps": 4, "evaluate_every": 2}

    cell: str = "lstm2000"
    forget: bool = True
    length: Count = 50
    stream: Count = 100_000
    steps: Count = 10_000
    rate: float = 2e-2
    schedule: Literal["cosine", "linear", "exponential", "constant"] = "constant"
    evaluate_every: Count = 500
    checkpoint_every: Count = 1000
