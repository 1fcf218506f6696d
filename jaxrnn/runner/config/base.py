"""What every run can be told."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**32))]
# Whole numbers that jax's own int32 can count.
Count = Annotated[int, Parameter(validator=Number(gte=1, lt=2**31))]
Whole = Annotated[int, Parameter(validator=Number(gte=0, lt=2**31))]
Layers = Annotated[int, Parameter(validator=Number(gte=1, lte=1000))]
Positive = Annotated[float, Parameter(validator=Number(gt=0, lt=math.inf))]
NotNegative = Annotated[float, Parameter(validator=Number(gte=0, lt=math.inf))]
Share = Annotated[float, Parameter(validator=Number(gte=0, lt=1))]


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

    SMOKE: ClassVar[dict[str, Any]] = {}  # the options of --smoke: a run of seconds

    steps: Count = 1000
    seed: Seed = 0
    out: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained(Config):
    """What every task has that goes through the training loop.

    Parameters
    ----------
    seeds
        Several seeds in one run, in place of --seed; each is trained as it would be alone. A single one is --seed.
    batch
        Sequences in a batch.
    optimizer
        sgd, momentum, rmsprop, adam, adamw, muon or another optimiser of optax by its name there.
    rate
        Highest learning rate.
    schedule
        How the rate falls after its rise: along a cosine or a line to --final-rate, by steps of --decay, or not.
    warm_up
        Updates over which the rate rises [a tenth, at most 50]; so many steps, but for --accumulate.
    final_rate
        Where cosine and linear end, as a share of --rate.
    decay
        What exponential multiplies the rate with, each --decay-every steps after the first --decay-after.
    decay_every
        Updates between two decays [a tenth of all].
    decay_after
        Updates after the rise before the first decay may come.
    clip
        Greatest norm of the gradient (Pascanu et al. 2013); 0 for none.
    clip_value
        Greatest size of each number in the gradient, before its norm is cut; 0 for none.
    weight_decay
        Share of the weights taken off at each step, times the rate (adamw, muon), or added to the gradient (others).
    accumulate
        Batches whose gradients are averaged to one update; --steps counts batches.
    compute
        What products are computed in; parameters, states and sums stay float32.
    evaluate_every
        Steps between looks at the validation part; the best weights seen there are kept.
    patience
        Looks without a better one after which the run ends; 0 for never.
    checkpoint_every
        Steps between checkpoints.
    tensorboard
        Write what metrics.jsonl gets as TensorBoard events too.
    watch
        gradients: at each look, how the gradient fares on its way through time, into metrics.jsonl and the report.
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
    heartbeat
        Seconds without a sign from another process after which this one ends.
    """

    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "evaluate_every": 10}

    seeds: Annotated[tuple[Seed, ...], Parameter(consume_multiple=True, negative="")] | None = None
    batch: Count = 16
    optimizer: str = "adam"
    rate: Positive = 5e-3
    schedule: Literal["cosine", "linear", "exponential", "constant"] = "cosine"
    warm_up: Whole | None = None
    final_rate: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.0
    decay: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 0.5
    decay_every: Count | None = None
    decay_after: Whole = 0
    clip: NotNegative = 1.0
    clip_value: NotNegative = 0.0
    weight_decay: NotNegative = 0.0
    accumulate: Count = 1
    compute: Literal["float32", "bfloat16"] = "float32"
    evaluate_every: Count = 200
    patience: Whole = 0
    checkpoint_every: Count = 25
    tensorboard: Annotated[bool, Parameter(negative="")] = False
    watch: Literal["gradients"] | None = None
    devices: Count | Literal["all"] = 1
    coordinator: str | None = None
    processes: Count | None = None
    process: Whole | None = None
    wait: Count = 300
    heartbeat: Count = 30

    def __post_init__(self) -> None:
        if self.seed == 0 and self.seeds is not None and len(self.seeds) == 1:
            object.__setattr__(self, "seed", self.seeds[0])
            object.__setattr__(self, "seeds", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """What to do with a configuration.

    Parameters
    ----------
    resume
        Go on with this run from its newest intact checkpoint.
    print_config
        Print the whole configuration as a recipe, and train nothing.
    smoke
        Train, stop, resume and score a tiny network in a folder that then goes away.
    """

    resume: Path | None = None
    print_config: Annotated[bool, Parameter(negative="")] = False
    smoke: Annotated[bool, Parameter(negative="")] = False
