"""What the commands beside `train` can be told: a dataclass each. The field docs are the command's help.

No jax here: `jaxrnn eval --help` should not wait for it.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt
from cyclopts.validators import Number

from jaxrnn.runner.config.base import Seed

Weights = Literal["best", "last"]
Flag = Annotated[bool, Parameter(negative="")]


@dataclasses.dataclass(frozen=True)
class Eval:
    """Score a part of a run's data, or a file of your own, with the anchors beside it.

    Parameters
    ----------
    run
        The directory of a run.
    split
        Which part of the data: train is none of them [the last, test].
    data
        A file of your own, of the same kind as the run's; with --split: where the run's own data are now.
    weights
        Those with the best validation score, or the last.
    member
        Which of the run's --seeds, counted from 0 [all of them: mean and standard deviation].
    json
        Print one JSON object and nothing else.
    """

    run: Path
    _: dataclasses.KW_ONLY
    split: str | None = None
    data: Path | None = None
    weights: Weights = "best"
    member: NonNegativeInt | None = None
    json: Flag = False


@dataclasses.dataclass(frozen=True)
class Predict:
    """What a run makes of a file of your own, as CSV.

    Parameters
    ----------
    run
        The directory of a run.
    file
        A file of the same kind as the run's data.
    output
        The CSV file to write [standard output].
    overwrite
        Replace --output where it is there already.
    weights
        Those with the best validation score, or the last.
    member
        Which of the run's --seeds predicts, counted from 0.
    """

    run: Path
    file: Path
    _: dataclasses.KW_ONLY
    output: Annotated[Path | None, Parameter(alias="-o")] = None
    overwrite: Flag = False
    weights: Weights = "best"
    member: NonNegativeInt = 0


@dataclasses.dataclass(frozen=True)
class Export:
    """Take a run's network away: StableHLO for any T and batch, weights as safetensors, both read back and checked.

    Parameters
    ----------
    run
        The directory of a run.
    output
        The folder to write, which must not exist yet [RUN/export].
    weights
        Those with the best validation score, or the last.
    member
        Which of the run's --seeds, counted from 0.
    """

    run: Path
    _: dataclasses.KW_ONLY
    output: Annotated[Path | None, Parameter(alias="-o")] = None
    weights: Weights = "best"
    member: NonNegativeInt = 0


@dataclasses.dataclass(frozen=True)
class Inspect:
    """See inside a run's network: a report in plain words, with pictures and the numbers behind each.

    Parameters
    ----------
    run
        The directory of a run.
    file
        A file of the same kind as the run's data: look at the network while it reads its beginning [the valid part].
    text
        For a text run: what it is to read, in place of a file.
    steps
        How many steps of it to look at [100 of a text, 200 of anything else].
    output
        The folder to write, which must not exist yet [RUN/inspect].
    weights
        Those with the best validation score, or the last.
    member
        Which of the run's --seeds, counted from 0.
    """

    run: Path
    file: Path | None = None
    _: dataclasses.KW_ONLY
    text: str | None = None
    steps: Annotated[int, Parameter(validator=Number(gte=3, lte=1000))] | None = None
    output: Annotated[Path | None, Parameter(alias="-o")] = None
    weights: Weights = "best"
    member: NonNegativeInt = 0


@dataclasses.dataclass(frozen=True)
class Compare:
    """Set runs beside each other: what differs in their options, their scores and learning curves.

    Parameters
    ----------
    runs
        The directories of two or more runs, finished or not.
    out
        The folder for the table and the picture, which must not exist yet [runs/compare-TIME].
    json
        Print the table as JSON and nothing else.
    """

    runs: Annotated[tuple[Path, ...], Parameter(negative=())]
    _: dataclasses.KW_ONLY
    out: Path | None = None
    json: Flag = False


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Tell the versions, devices and settings that a run here would have, and what is missing.

    Parameters
    ----------
    json
        Print one JSON object and nothing else.
    """

    _: dataclasses.KW_ONLY
    json: Flag = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is varied, and how.

    Parameters
    ----------
    grid
        Values to try, as NAME=A,B,...: --grid units=32,64 cell=lstm,gru is every pair.
    draw
        What to draw at random, as NAME=LOW..HIGH, NAME=LOW..HIGH:log for a logarithmic scale, or NAME=A,B,...: --draw
        rate=1e-4..1e-2:log units=32..256. With --grid, each draw is tried at every point of the grid.
    trials
        How many draws.
    draw_seed
        Starts the draws; number k is the same however many there are.
    resume
        Go on with the sweep of this folder: what is finished stays, what was interrupted goes on.
    print_plan
        Print the trials, and train nothing.
    """

    grid: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    draw: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    trials: PositiveInt = 10
    draw_seed: Seed = 0
    resume: Path | None = None
    print_plan: Flag = False
