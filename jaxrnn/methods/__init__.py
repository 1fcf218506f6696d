"""The methods that can unroll a cell, a file each: same values, same gradients, told apart by their cost.

method(cell, params, carry, xs, keys, checkpoint) -> (carry, ys), with the cell's projection left to the method.
"""

from jaxrnn.methods.scan import scan
from jaxrnn.types import Cell

METHODS = {"scan": scan}


def auto(cell: Cell) -> str:
    """The method that "auto" stands for: `scan` serves every cell."""
    return "scan"
