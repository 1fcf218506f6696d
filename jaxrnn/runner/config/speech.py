"""What a reader of spoken digits can be told."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from jaxrnn.runner.config.base import Count, Layers, Positive, Share, Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speech(Trained):
    """Strings of spoken digits written down, by layers that read both ways and CTC (Graves et al. 2006, 2013).

    Parameters
    ----------
    data
        The Free Spoken Digit Dataset: a folder with its wav files, named DIGIT_SPEAKER_NUMBER.wav, or a tar of it.
    cell
        A name of jaxrnn.CELLS, such as lstm, lstm_diagonal or gru; an unknown one lists all.
    units
        Width of each recurrent layer in each direction.
    layers
        Recurrent layers, one on top of the other.
    dropout
        Share of each layer's output dropped while training.
    bands
        Bands of the mel scale.
    seconds
        The longest string; what would be longer is drawn again.
    strings
        Strings that the part to select by has, and the test part.
    """

    SMOKE: ClassVar = {
        **{"units": 4, "layers": 1, "bands": 8, "batch": 2, "strings": 3},
        **{"steps": 4, "evaluate_every": 2, "checkpoint_every": 2},
    }

    steps: Count = 2000
    rate: float = 3e-3
    evaluate_every: Count = 100
    checkpoint_every: Count = 100
    data: Path | None = None
    cell: str = "lstm"
    units: Count = 64
    layers: Layers = 3
    dropout: Share = 0.2
    bands: Count = 40
    seconds: Positive = 5.0
    strings: Count = 250
