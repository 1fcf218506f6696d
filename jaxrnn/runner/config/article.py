"""What the article's programs can be told."""

import dataclasses
from typing import ClassVar

from jaxrnn.runner.config.base import Config, Count, Positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Article(Config):
    """The tutorial article's programs: a small network fitted to random targets, one sequence at a time.

    Parameters
    ----------
    steps
        Updates of the weights; 10,000 are the article's 100 epochs of 100 sequences.
    cell
        One name of jaxrnn.CELLS [all of the article's: elman, lstm, gru, lstm_full, gru_article].
    units
        Width of the recurrent layer.
    samples
        Random sequences in the training set.
    length
        Steps in each sequence.
    rate
        Adam's learning rate.
    """

    SMOKE: ClassVar = {"steps": 200}

    steps: Count = 10_000
    cell: str | None = None
    units: Count = 10
    samples: Count = 100
    length: Count = 10
    rate: Positive = 1e-3
