"""A case is the work that is timed; a contender is who does it. Both travel to the workers as JSON."""

import json
from typing import Any, NamedTuple

from jaxrnn import checks
from jaxrnn.bench.options import SMOKE, SWEEP, Bench
from jaxrnn.bench.peers import NONE, PEERS, installed
from jaxrnn.cells import CELLS
from jaxrnn.methods import METHODS

DTYPES = ("float32", "bfloat16", "float64")


class Case(NamedTuple):
    cell: str
    B: int
    T: int
    I: int
    H: int
    dtype: str
    mode: str

    @property
    def title(self) -> str:
        return f"{self.cell}  B={self.B} T={self.T} I={self.I} H={self.H}  {self.dtype}  {self.mode}"


class Contender(NamedTuple):
    """`method` and `compiler_options` are jaxrnn's."""

    framework: str
    method: str | None = None
    compiler_options: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return " ".join(
            [self.framework, *([self.method] if self.method else []), *(["+"] * bool(self.compiler_options))]
        )

    def computes(self, cell: str) -> str | None:
        """The cell whose equations this contender computes where `cell` is asked for; None where it has none."""
        return cell if self.framework == "jaxrnn" else PEERS[self.framework].cells.get(cell)


def cases(options: Bench) -> list[Case]:
    """Every case asked for. Raises ValueError on unknown names and on what is no shape."""
    cells = ("lstm",) if options.smoke else options.cells
    for cell in cells:
        checks.choice("bench", "cell", cell, list(CELLS))
    for dtype in options.dtypes:
        checks.choice("bench", "dtype", dtype, list(DTYPES))
    shapes = [_shape(text) for text in ((SMOKE,) if options.smoke else SWEEP if options.sweep else options.shapes)]
    return [
        Case(cell, *shape, dtype, options.mode)
        for cell in dict.fromkeys(cells)
        for shape in dict.fromkeys(shapes)
        for dtype in dict.fromkeys(options.dtypes)
    ]


def _shape(text: str) -> tuple[int, int, int, int]:
    try:
        B, T, I, H = (int(number) for number in text.split(","))
    except ValueError:
        raise ValueError(f"bench: shapes has {text!r}, wanted B,T,I,H such as 16,200,32,64") from None
    if min(B, T, I, H) < 1:
        raise ValueError(f"bench: shapes has {text!r}, wanted four numbers from 1 on")
    return B, T, I, H


def contenders(options: Bench) -> list[Contender]:
    """jaxrnn's methods, with and without XLA's options, and the peers. Raises ValueError on unknown or absent ones."""
    for method in options.methods:
        checks.choice("bench", "method", method, ["auto", *METHODS])
    ours = [Contender("jaxrnn", method) for method in dict.fromkeys(options.methods)]
    if extra := _compiler_options(options.compiler_options):
        ours += [one._replace(compiler_options=extra) for one in ours]
    names = [name for name in PEERS if installed(name)] if not options.peers else list(dict.fromkeys(options.peers))
    if names == [NONE]:
        return ours
    for name in names:
        checks.choice("bench", "peer", name, [NONE, *PEERS])
        if not installed(name):
            raise ValueError(f"bench: peers has {name!r}, which needs `pip install {PEERS[name].package}`" + _on(name))
    return ours + [Contender(name) for name in names]


def _on(name: str) -> str:
    return " and an NVIDIA GPU" if PEERS[name].gpu else ""


def _compiler_options(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f'bench: compiler_options is {text!r}, wanted JSON such as {{"xla_some_option": true}}')
    return found
