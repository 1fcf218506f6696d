"""The small example each law is tried on, a row of TESTED each, and the few functions compiled for it."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import clip_gradient, gru, learned_carry, lstm, mingru, variational_dropout, zoneout
from jaxrnn.methods import serving
from jaxrnn.policy import promote

T, B, N_IN, N = 5, 2, 3, 4
EXACT = 1e-12  # float64, sums of a few dozen terms
DERIVED = 1e-10  # float64, derivatives

WRAPPED: dict[str, Callable[..., jaxrnn.Cell]] = {
    "learned_carry": lambda *sizes, **options: learned_carry(lstm(*sizes, **options)),
    "learned_carry_linear": lambda *sizes, **options: learned_carry(mingru(*sizes, **options)),
    "clip_gradient": lambda *sizes, **options: clip_gradient(gru(*sizes, **options), 0.1),
    "zoneout": lambda *sizes, **options: zoneout(lstm(*sizes, **options), h=0.3, c=0.5),  # evaluated
    "zoneout_noise": lambda *sizes, **options: zoneout(lstm(*sizes, **options), h=0.3, c=0.5),
    "dropout_noise": lambda *sizes, **options: variational_dropout(gru(*sizes, **options), 0.2, 0.3, 0.4),
}
TESTED = {**jaxrnn.CELLS, **WRAPPED}
NOISY = {"zoneout_noise", "dropout_noise"}  # a key for all the batch and all its steps: no part stands alone
QUIET = [name for name in TESTED if name not in NOISY]


def pairs_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """Every (cell, method) there is."""
    return [(name, method) for name in names for method in serving(TESTED[name](N_IN, N))]


def cells(names: Iterable[str]) -> pytest.MarkDecorator:
    """A test for each cell. All of a cell's run in one worker, where they share what was compiled for it."""
    return pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names])


# Where a law compiles a program for itself, it is tried at each change on these alone, since what the loops and JAX say
# of one cell they say of another; and by `fused` on those that compute something else: gated inputs, norms,
# exponentials, a narrow h, a start in the params. `pytest --heavy` tries it on all.
FEW = {"elman", "lstm_full", "rglru", "clip_gradient", "zoneout_noise"}
BY_FUSED = {"gru_article", "lstm_layernorm", "slstm", "lstm_projected", "learned_carry"}


def cells_and_methods(names: Iterable[str], *, costly: bool = False) -> pytest.MarkDecorator:
    """A test for each cell and each method that serves it."""
    rows = [
        pytest.param(*pair, marks=marks(pair[0], costly and not often(*pair)), id="-".join(pair))
        for pair in pairs_of(names)
    ]
    return pytest.mark.parametrize(("name", "method"), rows)


def often(name: str, method: str) -> bool:
    """Whether the costly laws are tried on it at each change."""
    return name in FEW or (name in BY_FUSED and method == "fused")


def marks(name: str, heavy: bool) -> list[pytest.MarkDecorator]:
    """A cell's tests run in one worker; the heavy ones not at each change."""
    return [pytest.mark.xdist_group(name), *[pytest.mark.heavy] * heavy]


class Example(NamedTuple):
    cell: jaxrnn.Cell
    params: Any
    carry: Any
    xs: jax.Array
    mask: jax.Array
    reset: jax.Array
    key: jax.Array | None

    @property
    def where(self) -> dict[str, Any]:
        return {"mask": self.mask, "reset": self.reset, "key": self.key}

    @property
    def arguments(self):
        return self.params, self.carry, self.xs, self.mask, self.reset


@functools.cache
def example(name: str, batch: tuple[int, ...] = (B,)) -> Example:
    """A cell of TESTED with random params (none left at zero), carry and xs, and a mask and resets that meet."""
    cell = TESTED[name](N_IN, N)
    keys = jax.random.split(jax.random.key(7), 6)
    params = randomized(keys[0], cell.init(keys[0]))
    carry = randomized(keys[1], cell.carry(batch))
    if "n" in carry._fields:  # an sLSTM's normaliser, which no step leaves below 1
        carry = carry._replace(n=1 + jnp.abs(carry.n))
    xs = jax.random.normal(keys[2], (T, *batch, N_IN))
    mask = jax.random.bernoulli(keys[3], 0.7, (T, *batch))
    reset = jax.random.bernoulli(keys[4], 0.4, (T, *batch))
    return Example(cell, params, carry, xs, mask, reset, keys[5] if name in NOISY else None)


@functools.cache
def applied(name: str, method: str, reverse: bool = False) -> Callable[..., Any]:
    """f(params, carry, xs, mask, reset) -> (carry, ys), compiled once for all the laws that need it."""
    e = example(name)
    layer = jaxrnn.unroll(e.cell, method, reverse)
    return jax.jit(
        lambda params, carry, xs, mask, reset: layer.apply(params, carry, xs, mask=mask, reset=reset, key=e.key)
    )


@functools.cache
def loss_and_grads(name: str, method: str, reverse: bool = False, checkpoint: Any = None) -> Callable[..., Any]:
    """f(params, carry, xs, mask, reset) -> (loss, its gradients for params, carry and xs), compiled once."""
    e = example(name)
    layer = jaxrnn.unroll(e.cell, method, reverse, checkpoint)
    return jax.jit(jax.value_and_grad(functools.partial(loss, layer, key=e.key), (0, 1, 2)))


def loss(layer, params, carry, xs, mask=None, reset=None, key=None):
    """A scalar that every output and every carry enters, each with a weight of its own."""
    return weighed(layer.apply(params, carry, xs, mask=mask, reset=reset, key=key))


def weighed(tree):
    """The sum of the sines of all the numbers in a tree, each with a weight of its own; in float32 at least."""
    wide = [a.astype(promote(a.dtype, jnp.float32)) for a in reversed(jax.tree.leaves(tree))]
    return sum(jnp.sum(jnp.sin(a) * jnp.cos(jnp.arange(a.size, dtype=a.dtype).reshape(a.shape))) for a in wide)


def randomized(key, tree):
    """Normal numbers in the shape of every leaf."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(jax.random.normal(k, a.shape, a.dtype) / 2 for k, a in zip(keys, leaves, strict=True))


def close(a, b, tolerance=EXACT):
    """Two trees agree, to `tolerance` relative to the size of what stands in each leaf."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=tolerance, atol=tolerance * (1 + size(y)))


def size(a) -> float:
    return float(np.max(np.abs(a))) if np.size(a) else 0.0
