"""A character-level language model: trained by truncated backpropagation, judged in bits a character.

The text is read at `batch` places side by side, `length` characters at a time, and each window starts from the state
that the window before it ended with. The held-out end of the text is read once, as one stream, and every character of
it is predicted from all that came before. gzip and the unigram entropy are the anchors: they stand for what can be
had by looking for repetitions, or at single characters, alone.
"""

import collections
import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console

from jaxrnn import CELLS, Layer, checks, dense, dropout, embed, generate, stack, unroll
from jaxrnn.runner import plots, record
from jaxrnn.runner.checkpoint import restore
from jaxrnn.runner.config import Sample, Text
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.metrics import read_metrics
from jaxrnn.runner.seeds import described, member, place_of
from jaxrnn.runner.train import Problem, fit
from jaxrnn.runner.width import width

LONGEST_HELD_OUT = 100_000
PIECE = 4096  # characters an evaluation reads at a time, so that its memory does not grow with the text


class Data(NamedTuple):
    train: str
    held_out: str
    vocabulary: str  # the characters of the whole text, in order


class Window(NamedTuple):
    xs: Any  # [length, batch]
    ys: Any  # the same, one character on
    restart: Any  # whether the streams start anew


def load(config: Text) -> Data:
    """Read the text and cut off its held-out end. Raises ValueError where there is no text to train on."""
    checks.choice("text", "cell", config.cell, CELLS)
    text = manual() if config.data is None else read(config.data)
    cut = len(text) - min(int(len(text) * config.held_out), LONGEST_HELD_OUT)
    data = Data(text[:cut], text[cut:], "".join(sorted(set(text))))
    needed = config.batch * config.length + 1
    size = f"data: {config.data or 'the manual'} has {len(text)} characters"
    if not data.held_out:
        raise ValueError(f"{size} and held_out is {config.held_out}, wanted at least 1 held out; raise --held-out")
    if len(data.train) < needed:
        shape = f"batch {config.batch} x length {config.length} + 1"
        raise ValueError(f"{size}, wanted {needed} to train on ({shape}); lower --batch or --length")
    return data


def manual() -> str:
    """The reference manual that Python's own help() prints, about 465,000 characters of English."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def read(path: Path) -> str:
    """The text of a UTF-8 file. Raises ValueError naming the file and the first byte that is not UTF-8."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"data: {path} cannot be read: {error.strerror}") from None
    if not raw:
        raise ValueError(f"data: {path} is empty (0 bytes), wanted UTF-8 text")
    try:
        return raw.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        bad = f"byte {error.start} is 0x{error.object[error.start]:02x}"
        raise ValueError(f"data: {path} is not UTF-8 text: {bad} ({error.reason})") from None


def train(config: Text, data: Data, directory: Path, run: dict[str, Any], console: Console) -> str:
    """The whole run: train, judge, then show. What is known goes into the record before anything can fail."""
    (directory / "vocabulary.json").write_text(json.dumps(data.vocabulary), encoding="utf-8")
    layer = network(config, len(data.vocabulary))
    evaluate = make_evaluate(layer, several=config.seeds is not None)
    held_out = encode(data.train[-1] + data.held_out, data.vocabulary)
    problem = make_problem(
        config, layer, encode(data.train, data.vocabulary), lambda params: evaluate(params, held_out)
    )
    params = fit("text", problem, config, directory, console)
    run["params_sha256"] = record.digest(params)
    before = encode(data.train[-len(data.held_out) - 1 :], data.vocabulary)
    bits = {"train_bits": evaluate(params, before), "held_out_bits": evaluate(params, held_out)}
    if not all(np.isfinite(values).all() for values in bits.values()):
        raise FloatingPointError("text: the last update made the loss infinite; lower --rate or --clip")
    run["metrics"] = metrics = {k: v for name in bits for k, v in described(name, bits[name]).items()} | anchors(data)
    first, seed = (member(params, 0), config.seeds[0]) if config.seeds else (params, config.seed)
    key = jax.random.split(jax.random.key(seed), 3)[2]  # of those that fit starts from, the one it leaves
    opened = opening(data.vocabulary)
    _, new = generate(layer, first, layer.carry((), first), opened, 500, key=key, temperature=0.8)
    sample = decode(new, data.vocabulary)
    (directory / "sample.txt").write_text(sample, encoding="utf-8")
    plot(directory, metrics)
    report(console, metrics, sample)
    warn_of_overfitting(console, directory, metrics["held_out_bits"])
    many = f" over {len(config.seeds)} seeds" if config.seeds else ""
    return f"held-out text {measured(metrics, 'held_out_bits').strip()} bits a character{many}"


def make_problem(config: Text, layer: Layer, text: np.ndarray, evaluate: Callable[[PyTree], Any]) -> Problem:
    """The text for the training loop: windows that follow each other, each from the state the last one left."""

    def init(key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        params = layer.init(key)
        return params, layer.carry((config.batch,), params)

    def loss(params: PyTree, carry: PyTree, batch: Window, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        fresh = layer.carry(batch.xs.shape[1:], params)
        carry = jax.tree.map(lambda new, old: jnp.where(batch.restart, new, old), fresh, carry)
        return bits_per_character(layer, params, carry, batch.xs, batch.ys, key)

    return Problem(
        init=init,
        batch=lambda seed, step: window(config, text, seed, step),
        specs=Window(P(None, AXIS), P(None, AXIS), P()),
        loss=loss,
        evaluate=evaluate,
        name="bits",
        unit="bits/char",
        speed="characters_per_second",
        speed_unit="chars/s",
        items=config.batch * config.length,
    )


def continue_prompt(directory: Path, config: dict[str, Any], sample: Sample) -> str:
    """The prompt and what the run's newest checkpoint makes of it."""
    vocabulary = json.loads((directory / "vocabulary.json").read_text(encoding="utf-8"))
    layer = network(Text(**config), len(vocabulary))
    like, seeds = jax.eval_shape(layer.init, jax.random.key(0)), config.get("seeds")
    k = place_of(sample.member, seeds)
    if seeds:
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(seeds), *leaf.shape), leaf.dtype), like)
    params = restore(directory, "params", like)
    params = member(params, k) if seeds else params
    prompt = encode(sample.prompt, vocabulary) if sample.prompt else opening(vocabulary)
    how = {"temperature": sample.temperature, "top_k": sample.top_k, "top_p": sample.top_p}
    carry, key = layer.carry((), params), jax.random.key(sample.seed)
    _, new = generate(layer, params, carry, prompt, sample.length, key=key, **how)
    return sample.prompt + decode(new, vocabulary)


def network(config: Text, vocabulary: int) -> Layer:
    """embed, then the recurrent layers with dropout after each, then dense: logits [T, *batch, vocabulary]."""
    layers, n = [], config.embedding
    for _ in range(config.layers):
        recurrent = unroll(CELLS[config.cell](n, config.units))
        layers += [recurrent, dropout(config.dropout)]
        n = width(recurrent, n)
    return stack(embed(vocabulary, config.embedding), *layers, dense(n, vocabulary))


def bits_per_character(
    layer: Layer, params: PyTree, carry: PyTree, xs: Int[Array, "T *batch"], ys: Int[Array, "T *batch"], key: Any = None
) -> tuple[Float[Array, ""], PyTree]:
    """Mean cross-entropy in bits, and the carry to hand on."""
    carry, logits = layer.apply(params, carry, xs, key=key)
    return optax.softmax_cross_entropy_with_integer_labels(logits, ys).mean() / math.log(2), carry


def make_evaluate(layer: Layer, several: bool = False):
    """Bits a character of a text read once as one stream, each predicted from everything before it.

    With `several`, of as many params as stand on axis 0 of their arrays, in an array.
    """

    def read(params: PyTree, carry: PyTree, xs: Any, ys: Any) -> tuple[Float[Array, ""], PyTree]:
        return bits_per_character(layer, params, carry, xs, ys)

    def begin(params: PyTree) -> PyTree:
        return layer.carry((), params)

    if several:
        read, begin = jax.vmap(read, (0, 0, None, None)), jax.vmap(begin)
    read = jax.jit(read)

    def evaluate(params: PyTree, text: np.ndarray) -> Any:
        carry, total = begin(params), 0.0
        for start in range(0, len(text) - 1, PIECE):
            xs, ys = text[start : start + PIECE], text[start + 1 : start + PIECE + 1]
            bits, carry = read(params, carry, xs[: len(ys)], ys)
            total += np.asarray(bits, np.float64) * len(ys)
        return total / (len(text) - 1)

    return evaluate


def window(config: Text, text: np.ndarray, seed: int, step: int) -> Window:
    """What is read at this step: a function of the seed and the step alone."""
    stream = (len(text) - 1) // config.batch // config.length * config.length
    windows = stream // config.length
    epoch, k = divmod(step, windows)
    spare = len(text) - stream * config.batch
    offset = int(np.random.default_rng([seed, epoch]).integers(spare))
    places = offset + np.arange(config.batch) * stream + np.arange(config.length)[:, None] + k * config.length
    return Window(text[places], text[places + 1], np.bool_(k == 0))


def encode(text: str, vocabulary: str) -> np.ndarray:
    """Characters as their places in the vocabulary. Raises ValueError on one that it lacks."""
    places = {character: place for place, character in enumerate(vocabulary)}
    try:
        return np.array([places[character] for character in text], np.int32)
    except KeyError as error:
        raise ValueError(
            f"prompt: {error} is not among the {len(vocabulary)} characters of the training text"
        ) from None


def opening(vocabulary: str) -> np.ndarray:
    """What stands before an empty prompt: a line break, or where the text has none, its first character."""
    return encode("\n" if "\n" in vocabulary else vocabulary[0], vocabulary)


def decode(places: Array | np.ndarray, vocabulary: str) -> str:
    return "".join(vocabulary[place] for place in np.asarray(places))


def anchors(data: Data) -> dict[str, float]:
    """Bits a character of the held-out part by simple means: what a model should be read against."""
    seen = collections.Counter(data.train)
    counts = np.array([seen[c] + 1 for c in data.vocabulary])  # one more each: none is impossible
    bits = dict(zip(data.vocabulary, -np.log2(counts / counts.sum()), strict=True))
    n = len(data.held_out)
    return {
        "unigram_bits": float(sum(bits[c] for c in data.held_out) / n),
        "gzip_alone_bits": gzip_bits(data.held_out) / n,
        "gzip_after_training_text_bits": (gzip_bits(data.train + data.held_out) - gzip_bits(data.train)) / n,
    }


def gzip_bits(text: str) -> int:
    return 8 * len(gzip.compress(text.encode(), 9, mtime=0))


def plot(directory: Path, metrics: dict[str, Any]) -> None:
    """The learning curve, beside the anchors."""
    lines = read_metrics(directory)
    looks = [line for line in lines if "held_out_bits" in line]
    means = [lines[i : i + 20] for i in range(0, len(lines), 20)]
    curves = {
        "training, mean of 20 steps": (
            [chunk[-1]["step"] for chunk in means],
            [float(np.mean([line["bits"] for line in chunk])) for chunk in means],
        )
    }
    if looks:
        curves["held out"] = [line["step"] for line in looks], [line["held_out_bits"] for line in looks]
    levels = {
        "gzip -9, held-out text alone": metrics["gzip_alone_bits"],
        "gzip -9 after the training text": metrics["gzip_after_training_text_bits"],
    }
    path = directory / "learning_curve.png"
    plots.curves(path, "Characters of the text, predicted", "step", "bits per character", curves, levels)


def warn_of_overfitting(console: Console, directory: Path, final: float) -> None:
    """Say so when an earlier look at the held-out text was clearly better than the last."""
    looks = [(line["held_out_bits"], line["step"]) for line in read_metrics(directory) if "held_out_bits" in line]
    if looks and min(looks)[0] < final - 0.02:
        best, step = min(looks)
        advice = "fewer --steps, --dropout, or more text would help"
        console.out(f"\nThe held-out text was predicted best, {best:.3f}, at step {step}: {advice}.", highlight=False)


def report(console: Console, metrics: dict[str, float], sample: str) -> None:
    rows = {
        "train_bits": "training text, its end",
        "held_out_bits": "held-out text",
        "unigram_bits": "unigram entropy",
        "gzip_alone_bits": "gzip -9, held-out text alone",
        "gzip_after_training_text_bits": "gzip -9 after the training text",
    }
    console.out("\nbits per character", highlight=False)
    for name, words in rows.items():
        console.out(f"  {words:<33}{measured(metrics, name)}", highlight=False)
    console.out("\nA sample at temperature 0.8:\n", highlight=False)
    console.out(sample, highlight=False)


def measured(metrics: dict[str, Any], name: str) -> str:
    """A number; of several seeds the mean, and the standard deviation in brackets."""
    spread = f"{name}_std"
    return f"{metrics[name]:6.3f}" + (f" (standard deviation {metrics[spread]:.3f})" if spread in metrics else "")
