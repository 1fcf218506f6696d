"""The continual embedded Reber grammar of Gers, Schmidhuber & Cummins 2000, "Learning to forget", table 2: strings
follow one another without end, nothing but their symbols tells where one ends, and at each symbol the network has to
say which may come next.

A trial is a seed: its weights, and the streams it learns from. Targets are 1 for the symbols that may come and 0 for
the others, and a prediction is an error if the squared errors of the seven outputs come to 0.49 or more: being
undecided between two symbols makes 0.5. (So we read the paper's "squared error"; 0.49 for each output alone would let a
network pass that does not know which of T and P a string's end repeats.) A stream ends with its first error. A trial is
perfect if it predicts ten streams of 100,000 symbols without any, and good, as in the paper, if it is not but its ten
are longer than 1,000 symbols in the mean. The run ends when all trials are perfect.

The network is the paper's, weight for weight: four blocks of two cells that share their gates, biases and first weights
as there, outputs that see the cells and the inputs, 424 weights with forget gates. What differs is how it is trained.
The outputs' cross-entropy takes the place of squared errors; `batch` streams are read side by side, `length` symbols
between updates, with full gradients within and the state handed on, where the paper's truncated gradients go back
through the cells to the beginning of the stream; a stream in which there was an error begins anew, state and string,
but after the update rather than at once; the optimiser is the one that the configuration names, and a rate that falls
does so over the whole run, the paper's within each stream, to begin anew with the next. A trial is looked at every so
often instead of after each stream, on ten streams that are always the same: the weights that came furthest there are
tested on ten others, where the paper has no others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxrnn import CELLS, Layer, checks, initialize, lstm2000, stack, unroll
from jaxrnn.masks import choose, zeroed
from jaxrnn.policy import default_float
from jaxrnn.runner.config import Cerg
from jaxrnn.runner.draws import apart
from jaxrnn.runner.generators.reber import SYMBOLS, continual
from jaxrnn.runner.networks import outputs_from, policy_of, uniform, width
from jaxrnn.runner.problem import Probed, Problem

CELLS_OF_PAPER, BLOCKS = 8, 4
STREAMS = 10  # that a trial is judged by
GOOD = 1000  # symbols of a stream in the mean
PIECE = 1000  # symbols that are judged at a time
SMALL = uniform(0.2)  # first weights
CHAIN = continual()


class Place(NamedTuple):
    """Where streams are, in the grammar and in the network."""

    grammar: Any  # [B], places of the chain
    state: Any  # the layer's carry


class Symbols(NamedTuple):
    xs: Any  # [T, B], whole numbers
    ys: Any  # [T, B, 7], 1 for those that may come after it
    places: Any  # [T, B], where the chain is after it


def make(config: Cerg, assets: object = None) -> Problem:
    """The problem. Raises ValueError on an unknown cell, or on one that has no forget gates to leave out."""
    checks.choice("cerg", "cell", config.cell, CELLS)
    if not config.forget and config.cell != "lstm2000":
        raise ValueError(f"forget: got no forget gates and cell {config.cell}, wanted cell lstm2000 to leave them out")
    layer = network(config)
    judge = make_judge(layer, config.stream)

    def evaluate(params: PyTree, split: str) -> dict[str, float]:
        found = judge(jax.tree.map(lambda leaf: np.asarray(leaf)[None], params), split)
        return {name: float(values[0]) for name, values in found.items()}

    return Problem(
        layer=layer,
        batch=lambda seed, step: flips(np.random.default_rng([seed, step]), config.length, config.batch),
        loss=make_loss(layer),
        evaluate=evaluate,
        evaluate_together=judge,
        better="higher",
        enough=float(config.stream),
        carry=lambda params: begin(layer, params, config.batch),
        item="symbols",
        items=config.batch * config.length,
        example=lambda: np.asarray(walk(jnp.int32(0), judged("valid", 100)[:, 0])[1].xs),
        symbols=SYMBOLS,
        probed=probed,
        network=network,
    )


# -- the streams


def flips(numbers: np.random.Generator, T: int, count: int) -> Int[np.ndarray, "T count"]:
    """Which way each stream goes at each symbol: with where it is, all that there is to say of it."""
    return numbers.integers(2, size=(T, count), dtype=np.int8)


def judged(split: str, T: int) -> Int[np.ndarray, "T streams"]:
    return flips(apart(("valid", "test").index(split)), T, STREAMS)


def walk(place: Int[Array, "*B"], ways: Int[Array | np.ndarray, "T *B"]) -> tuple[Int[Array, "*B"], Symbols]:
    """Where the streams are after these flips, and what was read."""

    def step(place: Array, way: Array) -> tuple[Array, Symbols]:
        to = jnp.asarray(CHAIN.to)[place, way]
        may = jnp.asarray(CHAIN.may, default_float())
        return to, Symbols(jnp.asarray(CHAIN.symbols)[place, way], may[to], to)

    return jax.lax.scan(step, place, jnp.asarray(ways, place.dtype))


def probed() -> Probed:
    """Some streams, and what has to be remembered in them."""
    _, found = walk(jnp.zeros(STREAMS, jnp.int32), judged("valid", 300))
    kept = np.array(CHAIN.kept)[np.asarray(found.places)]
    return Probed(np.asarray(found.xs), {f"{mark} is to be repeated": kept == mark for mark in "TP"})


def begin(layer: Layer, params: PyTree, count: int) -> Place:
    return Place(jnp.zeros(count, jnp.int32), layer.carry((count,), params))


# -- the network


def network(config: Cerg) -> Layer:
    """The paper's; with another cell, as wide, the usual first weights of that."""
    policy, n_in = policy_of(config), len(SYMBOLS)
    cell = CELLS[config.cell](n_in, CELLS_OF_PAPER, policy=policy)
    if config.cell == "lstm2000":
        rising = tuple(0.5 * (k + 1) for k in range(BLOCKS))  # 0.5 to 2
        falling = tuple(-bias for bias in rising)
        forget = rising if config.forget else None
        cell = lstm2000(n_in, CELLS_OF_PAPER, BLOCKS, falling, forget, falling, policy=policy)
        cell = initialize(cell, w_x=SMALL, w_h=SMALL)
    recurrent = unroll(cell)
    seen = n_in + width(recurrent, n_in)
    return stack(with_shortcut(recurrent), outputs_from(SMALL, seen, n_in, policy))


def with_shortcut(layer: Layer) -> Layer:
    """Symbols xs [T, *batch], each an input of the layer's own, or these inputs -> they and its ys side by side."""

    def apply(params: PyTree, carry: PyTree, xs: Array, *, key=None, mask=None, reset=None) -> tuple[PyTree, Array]:
        whole = jnp.issubdtype(xs.dtype, jnp.integer)
        inputs = zeroed(jax.nn.one_hot(xs, len(SYMBOLS), dtype=default_float()) if whole else xs, mask)
        carry, ys = layer.apply(params, carry, inputs, key=key, mask=mask, reset=reset)
        return carry, jnp.concatenate([inputs, ys.astype(inputs.dtype)], axis=-1)

    return layer._replace(apply=apply, spec=None)


# -- how it learns, and how it is judged


def make_loss(layer: Layer) -> Callable[..., tuple[Float[Array, ""], Place]]:
    """The outputs' cross-entropy; streams with an error begin anew, the others go on."""

    def loss(params: PyTree, at: Place, ways: Array, key: PRNGKeyArray) -> tuple[Float[Array, ""], Place]:
        grammar, read = walk(at.grammar, ways)
        state, logits = layer.apply(params, at.state, read.xs)
        over = is_error(logits, read.ys).any(0)
        anew = begin(layer, params, len(over))
        after = jax.tree.map(lambda a, b: choose(over, a, b), anew, Place(grammar, state))
        return optax.sigmoid_binary_cross_entropy(logits, read.ys).sum(-1).mean(), after

    return loss


def is_error(logits: Float[Array, "*T 7"], ys: Float[Array, "*T 7"]) -> Bool[Array, "*T"]:
    """An output that is not a number is one too."""
    return ~(((jax.nn.sigmoid(logits) - ys) ** 2).sum(-1) < 0.49)


def make_judge(layer: Layer, stream: int) -> Callable[[PyTree, str], dict[str, np.ndarray]]:
    """How long the streams of a part are in the mean, of each trial on axis 0 of the params, and what that makes it."""

    @jax.jit
    def read(params: PyTree, grammar: Array, states: PyTree, ways: Array) -> tuple[Array, PyTree, Array]:
        """A piece further: all trials read the same."""
        grammar, read = walk(grammar, ways)
        states, logits = jax.vmap(lambda params, state: layer.apply(params, state, read.xs))(params, states)
        return grammar, states, is_error(logits, read.ys)

    def lengths(params: PyTree, ways: np.ndarray) -> Int[np.ndarray, "trials streams"]:
        """Symbols before the first error. When all streams have had theirs, no more is read."""
        grammar, states = jax.vmap(lambda params: begin(layer, params, STREAMS), out_axes=Place(None, 0))(params)
        found, going = 0, np.array(True)
        for start in range(0, stream, PIECE):
            grammar, states, errors = read(params, grammar, states, ways[start : start + PIECE])
            right = np.logical_and.accumulate(~np.asarray(errors), axis=1)  # [trials, T, streams]
            found, going = found + going * right.sum(1), going & right[:, -1]
            if not going.any():
                break
        return np.asarray(found)

    def judge(params: PyTree, split: str) -> dict[str, np.ndarray]:
        all_of = lengths(params, judged(split, stream))
        mean, perfect = all_of.mean(1), (all_of == stream).all(1)
        return {"length": mean, "perfect": perfect.astype(float), "good": ((mean > GOOD) & ~perfect).astype(float)}

    return judge
