"""What run.json keeps of the training data, checked: it may come from anybody.

Each raises KeyError, TypeError or ValueError where it is not there or something else.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

Assets = Mapping[str, Any]


def kept_words(assets: Assets, name: str) -> list[str]:
    """A list of at least one."""
    found = assets[name]
    if not isinstance(found, list) or not found or not all(isinstance(word, str) for word in found):
        raise TypeError(f"{name} is no list of words")
    return found


def kept_numbers(assets: Assets, name: str, count: int) -> Float[np.ndarray, "count"]:
    """So many finite ones."""
    found = np.array(assets[name], np.float64)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(f"assets: {name} is no list of {count} finite numbers")
    return found
