"""A character-level language model: trained by truncated backpropagation, judged in bits a character.

The text is read at `batch` places side by side, `length` characters at a time, and each window starts from the state
that the window before it ended with. Its end, a part to choose the weights by and one to test them, is read as one
stream, and every character there is predicted from all that came before in it. gzip and the unigram entropy are the
anchors: they stand for what can be had by looking for repetitions, or at single characters, alone.
"""

import collections
import gzip
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console

from jaxrnn import CELLS, Layer, checks, dense, embed, generate, stack
from jaxrnn.runner.config import Sample, Text
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.networks import policy_of, recurrent
from jaxrnn.runner.problem import Problem, sha256
from jaxrnn.runner.tasks.next_symbol import predicted

LONGEST_HELD_OUT = 100_000
PIECE = 4096  # characters an evaluation reads at a time, so that its memory does not grow with the text


class Data(NamedTuple):
    train: str
    valid: str
    test: str


class Window(NamedTuple):
    xs: Any  # [length, batch]
    ys: Any  # the same, one character on
    restart: Any  # whether the streams start anew


def make(config: Text, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where there is no text to train on."""
    checks.choice("text", "cell", config.cell, CELLS)
    data = load(config)
    vocabulary: str = assets["vocabulary"] if assets else "".join(sorted(set("".join(data))))
    layer = network(config, len(vocabulary))
    bits = make_evaluate(layer)
    read = {name: encode(part, vocabulary, "data") for name, part in before_each(data).items()}
    train = encode(data.train, vocabulary, "data")

    def loss(params: PyTree, carry: PyTree, batch: Window, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        fresh = layer.carry(batch.xs.shape[1:], params)
        carry = jax.tree.map(lambda new, old: jnp.where(batch.restart, new, old), fresh, carry)
        return bits_per_character(layer, params, carry, batch.xs, batch.ys, key)

    def own(path: Path) -> np.ndarray:
        return encode(read_text(path), vocabulary, str(path))

    def evaluate_file(params: PyTree, path: Path) -> tuple[dict[str, float], dict[str, float]]:
        levels = simple_means(data.train, "".join(data), read_text(path), vocabulary)
        return {"bits": bits(params, np.concatenate([opening(vocabulary), own(path)]))}, levels

    return Problem(
        layer=layer,
        batch=lambda seed, step: window(config, train, seed, step),
        loss=loss,
        evaluate=lambda params, split: {"bits": bits(params, read[split])},
        carry=lambda params: layer.carry((config.batch,), params),
        specs=Window(P(None, AXIS), P(None, AXIS), P()),
        name="bits",
        unit="bits a character",
        item="characters",
        items=config.batch * config.length,
        example=lambda: read["valid"][:200],
        anchors=lambda split: anchors(data, split, vocabulary),
        assets={"vocabulary": vocabulary},
        sha256=sha256("".join(data).encode()),
        finish=lambda params, directory, console: write_sample(layer, params, vocabulary, config, directory, console),
        predict=lambda params, path: predicted(layer, params, opening(vocabulary), own(path), vocabulary),
        evaluate_file=evaluate_file,
    )


def load(config: Text) -> Data:
    """Read the text and cut its end off. Raises ValueError where too little is left to train on."""
    text = manual() if config.data is None else read_text(config.data)
    n_test, n_valid = (min(int(len(text) * share), LONGEST_HELD_OUT) for share in (config.test, config.valid))
    cut = len(text) - n_test - n_valid
    data = Data(text[: max(cut, 0)], text[max(cut, 0) : len(text) - n_test], text[len(text) - n_test :])
    needed = config.batch * config.length + 1
    size = f"data: {config.data or 'the manual'} has {len(text)} characters"
    if not (n_test and n_valid):
        shares = f"valid is {config.valid} and test {config.test}"
        raise ValueError(f"{size}, {shares}, wanted at least 1 character in each; raise --valid and --test")
    if len(data.train) < needed:
        shape = f"batch {config.batch} x length {config.length} + 1"
        raise ValueError(f"{size}, wanted {needed} to train on ({shape}); lower --batch or --length")
    return data


def before_each(data: Data) -> dict[str, str]:
    """The parts that are judged, each with the character before it, from which its first is predicted."""
    return {"valid": data.train[-1] + data.valid, "test": data.valid[-1] + data.test}


def manual() -> str:
    """The reference manual that Python's own help() prints, about 465,000 characters of English."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def read_text(path: Path) -> str:
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


def write_sample(
    layer: Layer, params: PyTree, vocabulary: str, config: Text, directory: Path, console: Console
) -> None:
    """What the model writes by itself, to a file and on the screen."""
    key = jax.random.split(jax.random.key(config.seeds[0] if config.seeds else config.seed), 3)[2]
    carry, opened = layer.carry((), params), opening(vocabulary)
    _, new = generate(layer, params, carry, opened, 500, key=key, temperature=0.8)
    sample = decode(new, vocabulary)
    (directory / "sample.txt").write_text(sample, encoding="utf-8")
    console.out("\nA sample at temperature 0.8:\n", highlight=False)
    console.out(sample, highlight=False)


def continue_prompt(layer: Layer, params: PyTree, vocabulary: str, sample: Sample) -> str:
    """The prompt and what the model makes of it. Raises ValueError on a character the training text lacks."""
    prompt = encode(sample.prompt, vocabulary) if sample.prompt else opening(vocabulary)
    how = {"temperature": sample.temperature, "top_k": sample.top_k, "top_p": sample.top_p}
    carry, key = layer.carry((), params), jax.random.key(sample.seed)
    _, new = generate(layer, params, carry, prompt, sample.length, key=key, **how)
    return sample.prompt + decode(new, vocabulary)


def network(config: Text, vocabulary: int) -> Layer:
    """embed, the recurrent layers, dense: logits [T, *batch, vocabulary]."""
    policy = policy_of(config)
    layers, n = recurrent(config, config.embedding, policy)
    return stack(embed(vocabulary, config.embedding, policy=policy), layers, dense(n, vocabulary, policy=policy))


def bits_per_character(
    layer: Layer, params: PyTree, carry: PyTree, xs: Int[Array, "T *batch"], ys: Int[Array, "T *batch"], key: Any = None
) -> tuple[Float[Array, ""], PyTree]:
    """Mean cross-entropy in bits, and the carry to hand on."""
    carry, logits = layer.apply(params, carry, xs, key=key)
    return optax.softmax_cross_entropy_with_integer_labels(logits, ys).mean() / math.log(2), carry


def make_evaluate(layer: Layer) -> Callable[[PyTree, np.ndarray], float]:
    """Bits a character of a text read once as one stream, each predicted from everything before it."""

    @jax.jit
    def read(params: PyTree, carry: PyTree, xs: Any, ys: Any) -> tuple[Float[Array, ""], PyTree]:
        return bits_per_character(layer, params, carry, xs, ys)

    def evaluate(params: PyTree, text: np.ndarray) -> float:
        carry, total = layer.carry((), params), 0.0
        for start in range(0, len(text) - 1, PIECE):
            xs, ys = text[start : start + PIECE], text[start + 1 : start + PIECE + 1]
            bits, carry = read(params, carry, xs[: len(ys)], ys)
            total += float(bits) * len(ys)
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


def encode(text: str, vocabulary: str, argument: str = "prompt") -> np.ndarray:
    """Characters as their places in the vocabulary. Raises ValueError on one that it lacks."""
    places = {character: place for place, character in enumerate(vocabulary)}
    try:
        return np.array([places[character] for character in text], np.int32)
    except KeyError as error:
        has = f"the {len(vocabulary)} characters of the training text"
        raise ValueError(f"{argument}: {error} is not among {has}") from None


def opening(vocabulary: str) -> np.ndarray:
    """What stands before an empty prompt: a line break, or where the text has none, its first character."""
    return encode("\n" if "\n" in vocabulary else vocabulary[0], vocabulary)


def decode(places: Array | np.ndarray, vocabulary: str) -> str:
    return "".join(vocabulary[place] for place in np.asarray(places))


def anchors(data: Data, split: str, vocabulary: str) -> dict[str, float]:
    """What a model should be read against on one of the run's own parts."""
    before = data.train if split == "valid" else data.train + data.valid
    return simple_means(data.train, before, data._asdict()[split], vocabulary)


def simple_means(train: str, before: str, part: str, vocabulary: str) -> dict[str, float]:
    """Bits a character of `part` by counting the characters of `train`, and by gzip."""
    seen = collections.Counter(train)
    counts = np.array([seen[c] + 1 for c in vocabulary])  # one more each: none is impossible
    bits = dict(zip(vocabulary, -np.log2(counts / counts.sum()), strict=True))
    n = len(part)
    return {
        "unigram entropy": float(sum(bits[c] for c in part) / n),
        "gzip -9 alone": gzip_bits(part) / n,
        "gzip -9 after the text before": (gzip_bits(before + part) - gzip_bits(before)) / n,
    }


def gzip_bits(text: str) -> int:
    return 8 * len(gzip.compress(text.encode(), 9, mtime=0))
