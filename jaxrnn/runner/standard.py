"""What standardises the columns of a table."""

import numpy as np
from jaxtyping import Float


def mean_and_std(values: Float[np.ndarray, "rows columns"]) -> tuple[np.ndarray, np.ndarray]:
    """Of each column; 1 in place of the deviation where all its numbers are one, of which sums would be rounded."""
    same = (values == values[0]).all(0)
    return np.where(same, values[0], values.mean(0)), np.where(same, 1.0, values.std(0))
