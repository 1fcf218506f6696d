"""How much memory a training step takes beside its inputs, as the compiler plans it; and with checkpoints.

Backpropagation keeps of every step what its derivative needs, so memory grows with T. `checkpoint="sqrt"` keeps the
carry alone at sqrt(T) places and computes the rest again (Chen et al. 2016).
"""

from collections.abc import Iterable
from typing import Any

import jax
from jaxtyping import Array

import jaxrnn
from jaxrnn import checks
from jaxrnn.analysis.complexity import started, training_step
from jaxrnn.types import Layer, Spec


def activation_bytes(layer: Layer, xs: Array | jax.ShapeDtypeStruct) -> int:
    """The bytes that the compiled training step on xs needs beside params, xs, carry and gradient. Nothing is run.

    Time comes first; raises ValueError on a batch_major layer.
    """
    checks.layer("activation_bytes", "layer", layer)
    return _bytes("activation_bytes", layer, xs)


def _bytes(owner: str, layer: Layer, xs: Any) -> int:
    params, carry = started(owner, layer, xs)
    compiled = jax.jit(training_step(layer)).lower(params, carry, jax.ShapeDtypeStruct(xs.shape, xs.dtype)).compile()
    analysis: Any = compiled.memory_analysis()
    return int(analysis.temp_size_in_bytes)


def memory_against_T(
    layer: Layer, xs: Array | jax.ShapeDtypeStruct, lengths: Iterable[int]
) -> dict[str, dict[int, int]]:
    """{"plain": {T: bytes}, "checkpoint": {T: bytes}} at other lengths than that of xs; checkpoints stand at sqrt(T).

    Compiles twice a length. Raises ValueError where the layer cannot be made again, as `checkpointed`, and on a
    batch_major layer.
    """
    saving = checkpointed(layer, "sqrt")
    shapes = {T: jax.ShapeDtypeStruct((T, *xs.shape[1:]), xs.dtype) for T in lengths}
    return {
        name: {T: _bytes("memory_against_T", each, shape) for T, shape in shapes.items()}
        for name, each in (("plain", layer), ("checkpoint", saving))
    }


def checkpointed(layer: Layer, checkpoint: int | str | None) -> Layer:
    """The same layer, made again with another `checkpoint` in each unroll; params stay good.

    Raises ValueError on a layer that is not made of jaxrnn's own parts, or whose parts another function has changed.
    """
    checks.layer("checkpointed", "layer", layer)
    return _made(layer.spec or Spec("custom"), checkpoint)


def _made(of: Spec, checkpoint: int | str | None) -> Any:
    make = getattr(jaxrnn, of.name, None) if of.name in jaxrnn.__all__ else None
    if make is None:
        raise ValueError(f"checkpointed: the layer has a part {of.name!r}, wanted it made of jaxrnn's own alone")
    options = dict(of.options) | ({"checkpoint": checkpoint} if of.name == "unroll" else {})
    return make(*(_made(child, checkpoint) for child in of.children), **options)
