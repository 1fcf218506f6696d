"""What a translator can be told."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

from cyclopts import Parameter
from cyclopts.validators import Number

from jaxrnn.runner.config.base import Count, NotNegative, Share, Trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translate(Trained):
    """Sentences from one language to another by an encoder and a decoder (Cho et al. 2014, Bahdanau et al. 2015).

    Parameters
    ----------
    data
        A folder with a sentence a line in train.LANGUAGE, val.LANGUAGE and TEST.LANGUAGE, its words between spaces;
        .lc.norm.tok may stand before the language, as in Multi30k, and .xz, .gz or .bz2 after it.
    test
        What the files of the test part are called.
    source
        The language that is read.
    target
        The language that is written.
    attention
        Whether the decoder looks back at the source; without, its first state is all that it hears of it.
    cell
        A name of jaxrnn.CELLS whose state is called h, such as gru or lstm.
    units
        Width of the encoder in each direction, of the decoder, and inside the attention.
    embedding
        Width of the vector that stands for a word.
    dropout
        Share of the embeddings and of the outputs of encoder and decoder dropped while training.
    vocabulary
        How many of the commonest words of each language are known by name, if they are there twice.
    beam
        Sentences that the beam search keeps.
    penalty
        Exponent of the length by which a sentence's log p is divided there.
    batch
        Pairs of sentences of about one length.
    shelves
        Groups of pairs by length, from the short half on; each is padded to its longest and compiled by itself.
    """

    SMOKE: ClassVar = {
        "units": 8,
        "embedding": 8,
        "batch": 4,
        "beam": 2,
        "shelves": 1,
        "steps": 20,
        "evaluate_every": 10,
    }

    steps: Count = 5000
    batch: Count = 64
    shelves: Count = 5
    rate: float = 1e-3
    evaluate_every: Count = 450
    checkpoint_every: Count = 450
    data: Path | None = None
    test: str = "test_2016_flickr"
    source: str = "de"
    target: str = "en"
    attention: bool = True
    cell: str = "gru"
    units: Count = 256
    embedding: Count = 256
    dropout: Share = 0.3
    vocabulary: Annotated[int, Parameter(validator=Number(gte=2))] = 10_000
    beam: Count = 4
    penalty: NotNegative = 1.0
