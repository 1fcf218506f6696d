"""What a tagger of words can be told."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

from cyclopts import Parameter
from cyclopts.validators import Number

from jaxrnn.runner.config.base import Count, Layers, Share, Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tagging(Trained):
    """A tag for each word of a sentence, as for the slots of a request (Mesnil et al. 2015), judged by F1 of phrases.

    Parameters
    ----------
    data
        Sentences with IOB tags: a word and its tag a line, an empty line between sentences; or, as ATIS has them, a
        sentence a line, then a tab and its tags. Packed or not.
    test_data
        A file of the same kind to test on [the end of data].
    cell
        A name of jaxrnn.CELLS, such as elman, lstm or gru; an unknown one lists all.
    units
        Width of each recurrent layer, in each direction.
    layers
        Recurrent layers, one on top of the other.
    bidirectional
        Read each sentence both ways.
    embedding
        Width of the vector that stands for a word.
    window
        Words that are seen at a step, the one to be tagged in the middle of them.
    dropout
        Share of the embeddings and of each layer's output dropped while training.
    vocabulary
        How many of the commonest words are known by name, if they are there twice; digits count as one digit.
    batch
        Sentences in a batch.
    valid
        Share of the sentences of data, at their end, that the weights are chosen by.
    test
        Share of the sentences of data, at their very end, that is read once, where there is no test_data.
    """

    SMOKE: ClassVar = {"units": 8, "embedding": 8, "batch": 4, "steps": 20, "evaluate_every": 10}

    steps: Count = 4000
    batch: Count = 16
    rate: float = 2e-3
    data: Path | None = None
    test_data: Path | None = None
    cell: str = "lstm"
    units: Count = 100
    layers: Layers = 1
    bidirectional: bool = False
    embedding: Count = 100
    window: Annotated[int, Parameter(validator=Number(gte=1, lte=99))] = 3
    dropout: Share = 0.5
    vocabulary: Annotated[int, Parameter(validator=Number(gte=2))] = 10_000
    valid: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 0.1
    test: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 0.1
