"""The methods that can unroll a cell, a file each: same values, same gradients, told apart by their cost.

method(cell, params, carry, xs, keys, checkpoint) -> (carry, ys), with the cell's projection left to the method.
"""

from jaxrnn.methods.associative import associative
from jaxrnn.methods.fused import fused
from jaxrnn.methods.scan import scan
from jaxrnn.types import Cell, Linear

METHODS = {"scan": scan, "fused": fused, "associative": associative}


def serving(cell: Cell) -> list[str]:
    """The methods that can unroll this cell."""
    return [name for name in METHODS if name != "associative" or isinstance(cell.fast, Linear)]


def auto(cell: Cell) -> str:
    """The method that "auto" stands for: `fused`, which no cell or shape that was measured runs slower under than
    under `scan` (experiments/results/bench; on CPUs: nothing is known of other devices).
    """
    return "fused"
