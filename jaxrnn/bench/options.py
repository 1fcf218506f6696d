"""What `jaxrnn bench` can be told. The field docs are the command's help; no jax here, so that it is there at once."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt

Words = Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())]
SHAPES = ("16,200,32,64", "32,100,64,128", "32,128,256,256", "64,100,512,512", "20,35,650,650")
SMOKE = "4,20,8,16"
BASE = (32, 100, 128)  # B, T and I = H, of which a sweep varies one at a time
SWEEP = (
    *(f"{BASE[0]},{T},{BASE[2]},{BASE[2]}" for T in (25, 50, 100, 200, 400)),
    *(f"{BASE[0]},{BASE[1]},{H},{H}" for H in (32, 64, 256, 512)),
    *(f"{B},{BASE[1]},{BASE[2]},{BASE[2]}" for B in (1, 8, 128)),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """What is timed, against whom, and where the results go.

    Parameters
    ----------
    cells
        Names of jaxrnn.CELLS.
    methods
        Ways of jaxrnn to unroll them: scan, fused, associative, auto.
    peers
        Libraries beside it [all that are installed]; `--peers none` for none.
    shapes
        B,T,I,H: sequences, steps, features of x, units; several with blanks between.
    sweep
        Instead of --shapes, B, T and H (with I = H) one at a time around 32,100,128,128.
    dtypes
        Dtypes of x and the weights: float32, bfloat16, float64.
    mode
        train: forward, and the gradients of all weights and x; forward: the outputs alone.
    rounds
        Timed runs of each contender.
    seconds
        Fewer rounds where a contender's runs would take longer than this, though never fewer than five.
    compiler_options
        XLA's options as JSON, for an extra row of each of jaxrnn's methods.
    out
        The JSON-lines file to write, with its table and plots beside it [runs/bench-TIME/results.jsonl].
    smoke
        A minute's try of everything: one small LSTM, five rounds.
    compare
        An older file of results: tells which rows are slower now, beyond the noise; fails where any is.
    show
        Measure nothing: show this file of results.
    markdown
        Show the table as Markdown.
    readme
        With --show: put the table between the two markers of this file, and draw the plots beside the results anew.
    """

    cells: Words = ("lstm", "gru", "elman")
    methods: Words = ("scan", "fused", "auto")
    peers: Words = ()
    shapes: Words = SHAPES
    sweep: bool = False
    dtypes: Words = ("float32",)
    mode: Literal["train", "forward"] = "train"
    rounds: PositiveInt = 30
    seconds: PositiveFloat = 30.0
    compiler_options: str | None = None
    out: Path | None = None
    smoke: bool = False
    compare: Path | None = None
    show: Path | None = None
    markdown: bool = False
    readme: Path | None = None
