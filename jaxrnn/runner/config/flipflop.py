"""What the memory of bits can be told."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, PositiveInt
from cyclopts.validators import Number

from jaxrnn.runner.config.base import Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flipflop(Trained):
    """Bits that pulses set and that stay until the next pulse (Sussillo & Barak 2013): a memory of 2^bits states.

    Parameters
    ----------
    bits
        Inputs, each with an output that keeps the sign of its last pulse.
    pulses
        Chance of a pulse, for each input at each step.
    length
        Steps of a sequence.
    cell
        A name of jaxrnn.CELLS; an unknown one lists all.
    units
        Width of the recurrent layer.
    noise
        Standard deviation of what is added to every input while training.
    """

    SMOKE: ClassVar = {"units": 8, "batch": 4, "length": 20, "steps": 4, "evaluate_every": 2}

    bits: PositiveInt = 3
    pulses: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 0.1
    length: PositiveInt = 100
    cell: str = "gru"
    units: PositiveInt = 32
    noise: NonNegativeFloat = 0.0
    steps: PositiveInt = 1500
    batch: PositiveInt = 64
    rate: float = 1e-2
    schedule: Literal["cosine", "linear", "exponential", "constant"] = "cosine"
    evaluate_every: PositiveInt = 100
    checkpoint_every: PositiveInt = 500
