"""In which dtype each thing is kept and computed, and the one product that obeys it."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from jaxrnn.sharding import axes_of
from jaxrnn.words import short


def default_float() -> np.dtype:
    """JAX's own default: float32, or float64 under jax_enable_x64."""
    return jax.eval_shape(lambda: jnp.zeros(())).dtype  # which does not wake the backend


def promote(*dtypes: DTypeLike) -> np.dtype:
    """The dtype that holds them all. Asked for by name here, so it may be asked under strict promotion."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, [jnp.dtype(d) for d in dtypes])


@dataclasses.dataclass(frozen=True)
class Policy:
    """Dtypes of parameters, products, carry and sums. Each layer of a network is given its own.

    param        how parameters are kept; None: JAX's default float
    compute      what x and the weights are rounded to for a product, and a cell's outputs after it; None: what x and
                 the weights promote to
    carry        how the state is kept; None: the parameters' dtype, float32 at least
    accumulate   what products are summed in, and what `dense` gives; None: the compute dtype, float32 at least

    `Policy(compute=jnp.bfloat16)` is the usual mixed precision: float32 parameters, products of bfloat16
    numbers summed in float32, a float32 carry, outputs in bfloat16.
    """

    param: DTypeLike | None = None
    compute: DTypeLike | None = None
    carry: DTypeLike | None = None
    accumulate: DTypeLike | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            if given is None:
                continue
            try:
                # An array would pass for its dtype.
                dtype = None if isinstance(given, jax.Array | np.ndarray | np.generic) else jnp.dtype(given)
            except TypeError:
                dtype = None
            if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
                raise ValueError(
                    f"Policy: {field.name} is {short(given)}, wanted a floating dtype such as jnp.bfloat16, or None"
                )
            if jax.dtypes.canonicalize_dtype(dtype) != dtype:
                raise ValueError(
                    f"Policy: {field.name} is {dtype}, which JAX rounds to float32 unless jax_enable_x64 is on"
                )
            object.__setattr__(self, field.name, dtype)

    @property
    def param_dtype(self) -> np.dtype:
        return default_float() if self.param is None else jnp.dtype(self.param)

    def carry_dtype(self, params: object = None) -> np.dtype:
        if self.carry is not None:
            return jnp.dtype(self.carry)
        kept = [leaf.dtype for leaf in jax.tree.leaves(params)] or [self.param_dtype]
        return promote(jnp.float32, *kept)

    def dot(self, x: Array, w: Array) -> Array:
        """x @ w with both in the compute dtype and sums in the accumulate dtype."""
        compute = promote(x.dtype, w.dtype) if self.compute is None else self.compute
        sums = promote(compute, jnp.float32) if self.accumulate is None else self.accumulate
        return matmul(x.astype(compute), w.astype(compute), sums)

    def affine(self, x: Array, w: Array, b: Array | None) -> Array:
        """x @ w + b, in the dtype of the sums."""
        y = self.dot(x, w)
        return y if b is None else y + b.astype(y.dtype)

    def output(self, y: Array) -> Array:
        return y if self.compute is None else y.astype(self.compute)


def matmul(x: Array, w: Array, sums: DTypeLike) -> Array:
    """x @ w, with sums in this dtype.

    The rows of all leading axes are merged, so that the gradient of w is one plain product: summed over several axes,
    XLA's CPU backend turns both operands round first and takes 1.5 to 3.5 times as long.
    """
    if x.ndim <= 2 or w.ndim != 2 or not may_merge(x):
        return jnp.matmul(x, w, preferred_element_type=sums)
    y = jnp.matmul(merged(x), w, preferred_element_type=sums)
    return y.reshape(*x.shape[:-1], w.shape[-1])


def may_merge(x: Array) -> bool:
    """Whether time and batch may become one axis: not where the batch may be spread over devices."""
    return jax.device_count() == 1 or bool(axes_of(x))


def merged(x: Array) -> Array:
    """[..., n] as [rows, n]."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
