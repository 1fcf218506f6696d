"""What the experiments of 1997 can be told."""

import dataclasses
import math
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from jaxrnn.runner.config.base import Count, Trained

Problem97 = Literal["reber", "lag", "adding", "multiplication", "order2", "order3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hs97(Trained):
    """The long time lags of Hochreiter & Schmidhuber 1997: each seed a trial, which ends where it meets the criterion.
    Scores: the share of sequences that are wrong, and missing, the share by which these are too many.

    Parameters
    ----------
    problem
        Embedded Reber strings (1), noisy lag (2c), adding (4), multiplication (5), order of 2 or 3 symbols (6a, 6b).
    cell
        lstm97, in the paper's blocks and with its biases, or another name of jaxrnn.CELLS, as wide.
    lag
        T of adding and multiplication, q and p of the noisy lag [100, and 50 for the noisy lag].
    input_bias
        Where the bias of lstm97's first input gate begins, the second's at twice that, and so on [as in the paper].
    """

    SMOKE: ClassVar = {"batch": 4, "steps": 4, "evaluate_every": 2}

    problem: Problem97 = "adding"
    cell: str = "lstm97"
    lag: Annotated[int, Parameter(validator=Number(gte=20))] | None = None
    input_bias: Annotated[float, Parameter(validator=Number(gt=-math.inf, lt=math.inf))] | None = None
    steps: Count = 10_000
    rate: float = 1e-2
    schedule: Literal["cosine", "linear", "exponential", "constant"] = "constant"
    evaluate_every: Count = 100
    checkpoint_every: Count = 1000
