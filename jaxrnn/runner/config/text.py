"""What a language model can be told."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from jaxrnn.runner.config.base import Count, Layers, NotNegative, Positive, Seed, Share, Trained, Whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Trained):
    """A language model of characters, words or tokens, trained by truncated backpropagation through time.

    Parameters
    ----------
    data
        A UTF-8 text file [the reference manual inside Python's standard library].
    test_data
        A file of the same kind to test on [the end of data].
    level
        What is predicted: characters; words, which are runs of letters and digits and every other sign by itself; or
        tokens, which are whatever stands between spaces, and a line's end.
    vocabulary
        For words and tokens: how many of the commonest are known by name, the rest being one unknown word [10,000].
    cell
        A name of jaxrnn.CELLS, such as elman, lstm, lstm_full, gru, gru_article or mingru; an unknown one lists all.
    units
        Width of each recurrent layer.
    layers
        Recurrent layers, one on top of the other.
    embedding
        Width of the vector that stands for a symbol.
    dropout
        Share of each layer's output dropped while training (Zaremba et al. 2014).
    init_range
        All weights begin between its negative and this, as in Zaremba et al. 2014 [as each layer begins by itself].
    batch
        Places in the text that are read side by side.
    length
        Symbols between truncations; the state is handed on, the gradient is not.
    valid
        Share of the text before the test part that the weights are chosen by, though never more than 100,000 symbols;
        or, from 1 on, how many symbols.
    test
        Share of the text from its end that is read once, when all is done, though never more than 100,000 symbols; or,
        from 1 on, how many. Without meaning beside --test-data.
    """

    SMOKE: ClassVar = {
        **{"units": 16, "embedding": 8, "batch": 4, "length": 16, "valid": 0.05, "test": 0.05},
        **{"steps": 40, "evaluate_every": 20},
    }

    steps: Count = 1800
    data: Path | None = None
    test_data: Path | None = None
    level: Literal["characters", "words", "tokens"] = "characters"
    vocabulary: Count | None = None
    cell: str = "lstm"
    units: Count = 256
    layers: Layers = 1
    embedding: Count = 64
    dropout: Share = 0.0
    init_range: Positive | None = None
    length: Count = 64
    valid: Positive = 0.05
    test: Positive = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """How to continue a prompt.

    Parameters
    ----------
    prompt
        The text to go on from [a line break].
    length
        Symbols to write.
    temperature
        Below 1 is more careful than the model, above 1 bolder, 0 always takes the likeliest.
    top_k
        Draw among this many likeliest symbols only [all].
    top_p
        Draw among the likeliest symbols that together reach this probability only [all].
    seed
        Starts the random draws.
    member
        Which of the run's --seeds speaks, counted from 0.
    """

    prompt: str = ""
    length: Count = 500
    temperature: NotNegative = 0.8
    top_k: Count | None = None
    top_p: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] | None = None
    seed: Seed = 0
    member: Whole = 0
