"""What a reader of handwritten digits can be told."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from jaxrnn.runner.config.base import Count, Layers, Share, Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seqmnist(Trained):
    """Pictures of handwritten digits, read as sequences: by rows, or by single pixels (Le et al. 2015).

    Parameters
    ----------
    data
        A folder with MNIST's four files, packed or not [scikit-learn's 1,797 digits of 8 x 8 pixels].
    order
        What a step is: a row, a pixel, or a pixel in an order that was shuffled once, the same for all pictures.
    cell
        A name of jaxrnn.CELLS, such as lstm, gru or irnn; an unknown one lists all.
    units
        Width of each recurrent layer.
    layers
        Recurrent layers, one on top of the other.
    dropout
        Share of each layer's output dropped while training (Zaremba et al. 2014).
    batch
        Pictures in a batch.
    valid
        Share of the pictures to learn from, at their end, that the weights are chosen by.
    """

    SMOKE: ClassVar = {"units": 8, "batch": 4, "steps": 20, "evaluate_every": 10}

    steps: Count = 4000
    batch: Count = 128
    rate: float = 2e-3
    data: Path | None = None
    order: Literal["rows", "pixels", "shuffled"] = "rows"
    cell: str = "lstm"
    units: Count = 128
    layers: Layers = 1
    dropout: Share = 0.0
    valid: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 1 / 12
