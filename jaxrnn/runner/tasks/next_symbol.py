"""What a language model holds of each symbol of a text before it reads it."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, PyTree

from jaxrnn import Layer
from jaxrnn.runner.problem import Columns

PIECE = 4096  # symbols read at a time, so that memory does not grow with the text


def predicted(
    layer: Layer, params: PyTree, opening: Int[np.ndarray, "1"], text: Int[np.ndarray, "T"], symbols: Sequence[str]
) -> Columns:
    """Each symbol's probability and bits, and what was held likeliest in its place; the text is read as one stream."""

    @jax.jit
    def read(params: PyTree, carry: PyTree, xs: Any, ys: Any) -> tuple[PyTree, tuple[Any, Any, Any]]:
        carry, logits = layer.apply(params, carry, xs)
        logs = jax.nn.log_softmax(logits)
        return carry, (jnp.take_along_axis(logs, ys[:, None], -1)[:, 0], logits.argmax(-1), logs.max(-1))

    before, carry, parts = np.concatenate([opening, text[:-1]]), layer.carry((), params), []
    for start in range(0, len(text), PIECE):
        carry, part = read(params, carry, before[start : start + PIECE], text[start : start + PIECE])
        parts.append(jax.tree.map(np.asarray, part))
    logs, likeliest, highest = (np.concatenate(column) for column in zip(*parts, strict=True))
    return {
        "place": range(1, len(text) + 1),
        "symbol": [symbols[k] for k in text],
        "probability": rounded(np.exp(logs)),
        "bits": rounded(-logs / math.log(2)),
        "likeliest": [symbols[k] for k in likeliest],
        "its probability": rounded(np.exp(highest)),
    }


def rounded(numbers: np.ndarray) -> list[float]:
    """To six digits, which is what float32 holds."""
    return [float(f"{number:.6g}") for number in numbers.astype(np.float64)]
