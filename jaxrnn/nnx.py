"""A Flax NNX module around any Layer, for recurrent layers inside NNX models.

    class Tagger(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(100, 16, rngs=rngs)
            self.rnn = jaxrnn.nnx.RNN(unroll(lstm(16, 32)), rngs=rngs)

The params stand in `rnn.params` as the layer's own tuples with an nnx.Param for each array, so that their paths in
nnx.state are the library's names: ("rnn", "params", "w_x"). `nnx.as_pure(rnn.params)` gives the plain ones back.
Time comes first, as everywhere here; RNN(batch_major(layer), ...) takes [B, T, ...].
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

import jaxrnn
from jaxrnn import checks, types
from jaxrnn.layers import batch_first
from jaxrnn.types import Layer, Params, Spec

try:
    from flax import nnx
except ModuleNotFoundError as error:
    raise ImportError(f"jaxrnn.nnx needs `pip install flax` (no module named {error.name!r})") from error

NOISY = ("dropout", "variational_dropout", "weight_drop", "zoneout")


class Carry(nnx.Variable):
    """An array of the carry that a streaming RNN keeps between calls: nnx.state(model, Carry) has them all."""


class RNN(nnx.Module):
    """`layer` as a module. It has the params given, or makes its own with `rngs.params()`.

    Noise is drawn from a fork of rngs.dropout (or of another `rng_collection`) unless `deterministic`, which train()
    and eval() set, as for nnx.Dropout; a layer without noise leaves the stream alone. `return_carry` is nnx.RNN's:
    calls give (carry, ys) in place of ys. Raises ValueError on what is no Layer, and on params of another layer.
    """

    def __init__(
        self,
        layer: Layer,
        params: Params | None = None,
        *,
        return_carry: bool = False,
        deterministic: bool = False,
        rng_collection: str = "dropout",
        rngs: nnx.Rngs,
    ):
        checks.layer("RNN", "layer", layer)
        checks.flag("RNN", return_carry=return_carry, deterministic=deterministic)
        if not isinstance(rngs, nnx.Rngs):
            raise ValueError(f"RNN: rngs is {checks.short(rngs)}, wanted nnx.Rngs(seed)")
        if params is None:
            params = layer.init(rngs.params())
        else:
            wanted = jax.eval_shape(layer.init, jax.random.key(0))
            checks.like("RNN", "params", params, wanted, "layer.init(key) makes them")
        self.layer = layer
        self.params = nnx.data(jax.tree.map(nnx.Param, params))
        self.carry = nnx.data(None)
        self.return_carry = return_carry
        self.deterministic = deterministic
        self.rngs: Any = nnx.data(rngs[rng_collection].fork() if _noisy(layer.spec) else None)

    def __call__(
        self,
        xs: Array,
        *,
        mask: Bool[Array, "T *batch"] | None = None,
        reset: Bool[Array, "T *batch"] | None = None,
        initial_carry: types.Carry | None = None,
        return_carry: bool | None = None,
        deterministic: bool | None = None,
    ) -> Any:
        """ys [T, *batch, n] of xs [T, *batch, n_in], or (carry, ys).

        Begins with `initial_carry`, or the carry kept by `stream`, or the layer's own start.
        """
        deterministic = self.deterministic if deterministic is None else deterministic
        return_carry = self.return_carry if return_carry is None else return_carry
        checks.flag("RNN", return_carry=return_carry, deterministic=deterministic)
        params = nnx.as_pure(self.params)
        before = self._before(params, xs, initial_carry)
        key = None if deterministic or self.rngs is None else self.rngs()
        after, ys = self.layer.apply(params, before, xs, key=key, mask=mask, reset=reset)
        if self.carry is not None:
            jax.tree.map(lambda kept, new: kept.set_value(new), self.carry, after, is_leaf=_is_variable)
        return (after, ys) if return_carry else ys

    def stream(self, batch_shape: tuple[int, ...] | None) -> None:
        """Calls from now on go on where the last one ended, beginning afresh; None ends that.

        The carry is kept in Variables of the type Carry, for sequences of this batch shape. It begins as a copy of
        the layer's start, made now: a learned start has no gradient from later calls. Where single sequences begin
        afresh, give the call their `reset`. Raises ValueError on layers that read from the end: they need all of it.
        """
        if batch_shape is None:
            self.carry = nnx.data(None)
            return
        if _reads_back(self.layer.spec):
            raise ValueError("RNN: layer reads from the end of the sequence, wanted one that reads forward to stream")
        start = self.layer.carry(checks.batch_shape("RNN", batch_shape), nnx.as_pure(self.params))
        self.carry = nnx.data(jax.tree.map(Carry, start))

    def set_view(self, deterministic: bool | None = None, return_carry: bool | None = None) -> None:
        """What nnx.view calls.

        Args:
          deterministic: whether calls are without noise.
          return_carry: whether calls give (carry, ys).
        """
        if deterministic is not None:
            self.deterministic = deterministic
        if return_carry is not None:
            self.return_carry = return_carry

    def _before(self, params: Params, xs: Any, initial_carry: types.Carry | None) -> types.Carry:
        """The carry to begin with; one that is given or kept must be of xs's batch."""
        checks.array("RNN", "x", xs, 1, "[T, *batch, n_in]")
        batch = _batch_shape(self.layer.spec, xs)
        if initial_carry is None and self.carry is None:
            return self.layer.carry(batch, params)
        wanted = jax.eval_shape(lambda params: self.layer.carry(batch, params), params)
        how = f"({batch}) begins one for x {checks.describe(xs)}"
        if initial_carry is not None:
            checks.like("RNN", "initial_carry", initial_carry, wanted, f"layer.carry{how}")
            return initial_carry
        kept = nnx.as_pure(self.carry)
        checks.like("RNN", "carry", kept, wanted, f"stream{how}, and stream(None) ends streaming")
        return kept


def _batch_shape(made_by: Spec | None, xs: Array) -> tuple[int, ...]:
    """The batch axes of xs: those of time and, but for whole numbers, of features are not among them."""
    axes = xs.shape if jnp.issubdtype(xs.dtype, jnp.integer) else xs.shape[:-1]
    time = int(batch_first(made_by))
    return (*axes[:time], *axes[time + 1 :])


def _noisy(made_by: Spec | None) -> bool:
    """Whether a key may matter: it counts as noise where the spec does not tell."""
    if made_by is None or made_by.name in NOISY or made_by.name not in jaxrnn.__all__:
        return True
    return any(map(_noisy, made_by.children))


def _reads_back(made_by: Spec | None) -> bool:
    """Whether a layer reads from the end, as far as its spec tells."""
    if made_by is None:
        return False
    if made_by.name == "unroll":
        return bool(dict(made_by.options)["reverse"])
    return any(map(_reads_back, made_by.children))


def _is_variable(leaf: Any) -> bool:
    return isinstance(leaf, nnx.Variable)
