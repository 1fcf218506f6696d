"""What a forecaster can be told."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter

from jaxrnn.runner.config.base import Count, Layers, Positive, Share, Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series(Trained):
    """A forecast of the next rows of a time series, read from a CSV file with a header.

    Parameters
    ----------
    data
        A CSV file, plain or .gz, .bz2 or .xz: a row a moment, in order of time; a column of dates is found and checked.
    target
        The column to forecast [the last one].
    inputs
        The columns to read beside the target, or all [none].
    horizon
        Rows to forecast, all at once.
    history
        Rows read before them.
    season
        Rows after which the series tends to repeat (24 hours are a day): what stood there is a forecast to beat.
    around
        What the network's output is added to: the last value, that and a linear function of the history, or nothing
        (level). All but level read the history less its last row, so that no level needs to have been seen before.
    cell
        A name of jaxrnn.CELLS, such as elman, lstm, lstm_full, gru, gru_article or mingru; an unknown one lists all.
    units
        Width of each recurrent layer.
    layers
        Recurrent layers, one on top of the other.
    dropout
        Share of each layer's output dropped while training.
    training
        Share of the rows to train on, or their number where it is 1 or more [all before valid and test].
    valid
        Share or number of the rows after those, by which the weights are chosen.
    test
        Share or number of the rows after those, scored once, when all is done.
    """

    SMOKE: ClassVar = {
        **{"units": 8, "horizon": 4, "history": 12, "season": 6, "batch": 8},
        **{"training": None, "valid": 0.2, "test": 0.2, "steps": 20, "evaluate_every": 10},
    }

    steps: Count = 1500
    batch: Count = 32
    rate: Positive = 1e-3
    data: Path | None = None
    target: str | None = None
    inputs: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = ()
    horizon: Count = 24
    history: Count = 96
    season: Count = 24
    around: Literal["last", "linear", "level"] = "linear"
    cell: str = "lstm"
    units: Count = 64
    layers: Layers = 1
    dropout: Share = 0.0
    training: Positive | None = None
    valid: Positive = 0.2
    test: Positive = 0.2
