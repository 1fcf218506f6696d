"""What a model of polyphonic music can be told."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from jaxrnn.runner.config.base import Count, Layers, NotNegative, Share, Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polymusic(Trained):
    """Polyphonic music: which of 88 keys sound next (Boulanger-Lewandowski et al. 2012, Chung et al. 2014).

    Parameters
    ----------
    data
        A .mat file with traindata, validdata and testdata, in each the piano rolls [steps, 88] of a part's sequences.
    cell
        A name of jaxrnn.CELLS, such as elman, lstm or gru; an unknown one lists all.
    units
        Width of each recurrent layer.
    layers
        Recurrent layers, one on top of the other.
    dropout
        Share of each layer's output dropped while training (Zaremba et al. 2014).
    weight_noise
        Standard deviation of the Gaussian noise on all weights, drawn anew at each update (Graves 2011).
    batch
        Streams of sequences that are read side by side.
    length
        Steps between truncations; the state is handed on, the gradient is not.
    """

    SMOKE: ClassVar = {"units": 8, "batch": 2, "length": 16, "steps": 40, "evaluate_every": 20}

    steps: Count = 4000
    data: Path | None = None
    cell: str = "gru"
    units: Count = 46
    layers: Layers = 1
    dropout: Share = 0.0
    weight_noise: NotNegative = 0.0
    length: Count = 100
    checkpoint_every: Count = 1000
