"""How a value is shown in a message: on one line, and an array by its dtype and shape."""

import re
from typing import Any

import jax


class _Words(str):
    """A text whose repr is itself, so that it stands unquoted inside the repr of a tuple."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def describe(value: Any) -> str:
    """`float32[50, 8, 12]` for an array, else the value itself."""
    if not isinstance(value, type) and hasattr(value, "shape") and hasattr(value, "dtype"):
        return _Words(f"{value.dtype}{list(value.shape)}")
    return _Words(repr(value))


def short(value: Any) -> str:
    """The value or pytree in at most two hundred characters."""
    text = re.sub(r"\s*\n\s*", " ", repr(jax.tree.map(describe, value)))
    return text if len(text) <= 200 else text[:197] + "..."
