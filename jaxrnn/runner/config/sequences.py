"""What a reader of labelled sequences can be told."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from jaxrnn.runner.config.base import Count, Layers, Share, Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sequences(Trained):
    """A class or a number for each sequence, or for each of its steps, learnt from a file of labelled sequences.

    Parameters
    ----------
    data
        An npz file with xs [N, T, n], or [all steps, n], lengths [N], and ys [N], [N, T] or [all steps]; or a CSV file
        with a row a step: the sequence, the features, the label.
    test_data
        A file of the same kind that is scored once, when all is done [--test of the data].
    sequence
        The column of a CSV file that says which sequence a row belongs to [the first].
    label
        The column of a CSV file with the label [the last].
    kind
        What the labels are [classes where all are words or whole numbers].
    per
        What has a label [sequence where a CSV file has the same on all rows of each; else step].
    cell
        A name of jaxrnn.CELLS, such as elman, lstm, lstm_full, gru, gru_article or mingru; an unknown one lists all.
    units
        Width of each recurrent layer.
    layers
        Recurrent layers, one on top of the other.
    bidirectional
        Read each sequence from both ends; a label of all of it then comes from the mean over its steps.
    dropout
        Share of each layer's output dropped while training.
    valid
        Share of the sequences, drawn at random but the same for every seed, by which the weights are chosen.
    test
        Share of the sequences, drawn likewise, that is scored once, when all is done.
    """

    SMOKE: ClassVar = {"units": 8, "batch": 8, "steps": 20, "evaluate_every": 10}

    steps: Count = 1000
    evaluate_every: Count = 50
    data: Path | None = None
    test_data: Path | None = None
    sequence: str | None = None
    label: str | None = None
    kind: Literal["classes", "numbers"] | None = None
    per: Literal["sequence", "step"] | None = None
    cell: str = "lstm"
    units: Count = 64
    layers: Layers = 1
    bidirectional: Annotated[bool, Parameter(negative="")] = False
    dropout: Share = 0.0
    valid: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 0.15
    test: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 0.15
