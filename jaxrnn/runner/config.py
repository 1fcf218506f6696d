"""Everything a run can be told, a dataclass a task. The field docs are the command's help.

No jax here: `jaxrnn train text --help` should not wait for it.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from cyclopts.validators import Number

Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**32))]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What every task has.

    Parameters
    ----------
    steps
        Updates of the weights.
    seed
        Starts every random choice; the same seed gives the same parameters, bit for bit.
    out
        The run's directory, which must not exist yet [runs/TASK-TIME].
    """

    steps: PositiveInt = 1000
    seed: Seed = 0
    out: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained(Config):
    """What every task has that goes through the training loop.

    Parameters
    ----------
    seeds
        Several seeds in one run, in place of --seed; each is trained as it would be alone.
    batch
        Sequences in a batch.
    optimizer
        Adam, or plain gradient descent.
    rate
        Highest learning rate; it rises over the first steps and falls along a cosine.
    clip
        Greatest norm of the gradient (Pascanu et al. 2013).
    evaluate_every
        Steps between looks at the held-out part.
    checkpoint_every
        Steps between checkpoints.
    devices
        How many of its devices each process shares the batch among, or all.
    coordinator
        With --processes and --process: process 0's host:port, where they meet [JAX_COORDINATOR_ADDRESS].
    processes
        Processes in the run, each started by this same command; they share the batch [this one alone].
    process
        Which of them this is, from 0; process 0 writes the run's directory.
    wait
        Seconds within which all of them must come.
    """

    seeds: Annotated[tuple[Seed, ...], Parameter(consume_multiple=True, negative="")] | None = None
    batch: PositiveInt = 16
    optimizer: Literal["adam", "sgd"] = "adam"
    rate: PositiveFloat = 5e-3
    clip: PositiveFloat = 1.0
    evaluate_every: PositiveInt = 200
    checkpoint_every: PositiveInt = 25
    devices: PositiveInt | Literal["all"] = 1
    coordinator: str | None = None
    processes: PositiveInt | None = None
    process: NonNegativeInt | None = None
    wait: PositiveInt = 300


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Trained):
    """A character-level language model, trained by truncated backpropagation through time.

    Parameters
    ----------
    data
        A UTF-8 text file [the reference manual inside Python's standard library].
    cell
        A name of jaxrnn.CELLS, such as elman, lstm, lstm_full, gru, gru_article or mingru; an unknown one lists all.
    units
        Width of each recurrent layer.
    layers
        Recurrent layers, one on top of the other.
    embedding
        Width of the vector that stands for a character.
    dropout
        Share of each layer's output dropped while training (Zaremba et al. 2014).
    batch
        Places in the text that are read side by side.
    length
        Characters between truncations; the state is handed on, the gradient is not.
    held_out
        Share of the text, from its end and at most 100,000 characters, that is never trained on.
    """

    steps: PositiveInt = 1800
    data: Path | None = None
    cell: str = "lstm"
    units: PositiveInt = 256
    layers: PositiveInt = 1
    embedding: PositiveInt = 64
    dropout: Annotated[float, Parameter(validator=Number(gte=0, lt=1))] = 0.0
    length: PositiveInt = 64
    held_out: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 0.05


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

    steps: PositiveInt = 10_000
    cell: str | None = None
    units: PositiveInt = 10
    samples: PositiveInt = 100
    length: PositiveInt = 10
    rate: PositiveFloat = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """How to continue a prompt.

    Parameters
    ----------
    prompt
        The text to go on from [a line break].
    length
        Characters to write.
    temperature
        Below 1 is more careful than the model, above 1 bolder, 0 always takes the likeliest.
    top_k
        Draw among this many likeliest characters only [all].
    top_p
        Draw among the likeliest characters that together reach this probability only [all].
    seed
        Starts the random draws.
    member
        Which of the run's --seeds speaks, counted from 0.
    """

    prompt: str = ""
    length: PositiveInt = 500
    temperature: NonNegativeFloat = 0.8
    top_k: PositiveInt | None = None
    top_p: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] | None = None
    seed: Seed = 0
    member: NonNegativeInt = 0
