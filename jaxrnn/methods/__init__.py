"""The methods that can unroll a cell, a file each: same values, same gradients, told apart by their cost.

method(cell, params, carry, xs, keys, checkpoint) -> (carry, ys), with the cell's projection left to the method.
"""

from jaxrnn.methods.associative import associative
from jaxrnn.methods.fused import fused
from jaxrnn.methods.scan import scan
from jaxrnn.types import Cell, Linear, specs_in

METHODS = {"scan": scan, "fused": fused, "associative": associative}


def serving(cell: Cell) -> list[str]:
    """The methods that can unroll this cell."""
    return [name for name in METHODS if name != "associative" or isinstance(cell.fast, Linear)]


def auto(cell: Cell) -> str:
    """The method that "auto" stands for: `fused`, and `scan` for cells that attend.

    Of 15 training steps on a CPU (experiments/results/bench/cpu.jsonl) `fused` is the faster in all, by 7 to 59 %. With
    attention it takes 2.7 times as long as `scan` (experiments/results/bench/log.md): what a step asks of the whole
    source is no product with a weight, and little is left to gather. Of other devices nothing is known yet.
    """
    return "scan" if any(made_by.name == "attend" for made_by in specs_in(cell.spec)) else "fused"
