"""What standardises the columns of a table."""

import numpy as np
from jaxtyping import Float


def mean_and_std(values: Float[np.ndarray, "rows columns"]) -> tuple[np.ndarray, np.ndarray]:
    """Of each column; 1 in place of the deviation where all its numbers are one, whose mean may be rounded."""
    mean, std = values.mean(0), values.std(0)
    std[std <= 10 * np.finfo(std.dtype).eps * abs(mean)] = 1.0
    return mean, std
