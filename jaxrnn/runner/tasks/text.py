"""A language model of characters, words or tokens: trained by truncated backpropagation, judged in bits a symbol.

The text is read at `batch` places side by side, `length` symbols at a time, and each window starts from the state
that the window before it ended with. Its end, a part to choose the weights by and one to test them, is read as one
stream, and every symbol there is predicted from all that came before in it. The anchors stand for what can be had by
looking at single symbols alone (unigrams), at pairs (bigrams, for words), or for repetitions (gzip, for characters).
"""

import collections
import functools
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
from jaxrnn.runner.assets import kept_words
from jaxrnn.runner.config import Sample, Text
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.files import write_whole
from jaxrnn.runner.inspection.reading import enough, labels
from jaxrnn.runner.networks import policy_of, recurrent, within
from jaxrnn.runner.problem import Probed, Problem, on_demand, sha256
from jaxrnn.runner.symbols import Level, Symbols, commonest, decode, encode, opening, split, written
from jaxrnn.runner.tasks.next_symbol import predicted
from jaxrnn.runner.users_files import read_text

LONGEST_HELD_OUT = 100_000
STREAMS, LONGEST_STREAM = 8, 1000  # that are looked into
PIECE = 4096  # symbols an evaluation reads at a time, so that its memory does not grow with the text


class Data(NamedTuple):
    train: Symbols
    valid: Symbols
    test: Symbols


class Window(NamedTuple):
    xs: Any  # [length, batch]
    ys: Any  # the same, one symbol on
    restart: Any  # whether the streams start anew


def make(config: Text, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where there is no text to train on."""
    checks.choice("text", "cell", config.cell, CELLS)
    data = on_demand(lambda: load(config), config, assets)
    vocabulary = vocabulary_of(data(), config) if assets is None else kept_vocabulary(assets, config)
    between = "" if config.level == "characters" else "\0"
    layer = network(config, len(vocabulary))
    bits = make_evaluate(layer)
    train = functools.cache(lambda: encode(data().train, vocabulary, "data"))
    read = functools.cache(lambda part: judged(data(), part, vocabulary, apart=config.test_data is not None))

    def loss(params: PyTree, carry: PyTree, batch: Window, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        fresh = layer.carry(batch.xs.shape[1:], params)
        carry = jax.tree.map(lambda new, old: jnp.where(batch.restart, new, old), fresh, carry)
        return bits_per_symbol(layer, params, carry, batch.xs, batch.ys, key)

    def scores(params: PyTree, part: np.ndarray) -> dict[str, float]:
        found = bits(params, part)
        return {"bits": found} | ({} if config.level == "characters" else {"perplexity": 2**found})

    def own(path: Path) -> np.ndarray:
        return said(read_text(path), str(path))

    def said(words: str, argument: str = "text") -> np.ndarray:
        return encode(split(words, config.level), vocabulary, argument)

    def evaluate_file(params: PyTree, path: Path) -> tuple[dict[str, float], Callable[[], dict[str, float]]]:
        def levels() -> dict[str, float]:
            before = data().train + data().valid + data().test  # pyright: ignore[reportOperatorIssue]
            return simple_means(data().train, before, split(read_text(path), config.level), vocabulary)

        return scores(params, np.concatenate([opening(vocabulary), own(path)])), levels

    return Problem(
        layer=layer,
        batch=lambda seed, step: window(config, train(), seed, step),
        loss=loss,
        evaluate=lambda params, part: scores(params, read(part)),
        carry=lambda params: layer.carry((config.batch,), params),
        specs=Window(P(None, AXIS), P(None, AXIS), P()),
        name="bits",
        unit=f"bits a {config.level[:-1]}",
        item=config.level,
        items=config.batch * config.length,
        example=lambda: prose(read("valid"), vocabulary),
        made_up=lambda: np.arange(200, dtype=np.int32) % len(vocabulary),
        symbols=vocabulary,
        read=own,
        said=said,
        probed=lambda: probed(read("valid"), vocabulary),
        network=lambda config: network(config, len(vocabulary)),
        anchors=lambda split: anchors(data(), split, vocabulary),
        assets={"vocabulary": vocabulary},
        sha256=lambda: sha256(between.join(symbol for part in data() for symbol in part).encode()),
        finish=lambda params, directory, console: write_sample(layer, params, vocabulary, config, directory, console),
        predict=lambda params, path: predicted(layer, params, opening(vocabulary), own(path), vocabulary),
        evaluate_file=evaluate_file,
    )


def load(config: Text) -> Data:
    """Read the text and cut its end off. Raises ValueError where too little is left to train on."""
    text = split(manual() if config.data is None else read_text(config.data), config.level)
    apart = split(read_text(config.test_data, argument="test_data"), config.level) if config.test_data else None
    n_valid = held_out("valid", config.valid, len(text))
    n_test = held_out("test", config.test, len(text)) if apart is None else len(apart)
    if apart == []:
        raise ValueError(f"test_data: {config.test_data} has no {config.level}")
    needed = config.batch * config.length + 1
    size = f"data: {config.data or 'the manual'} has {len(text)} {config.level}"
    shares = f"valid is {config.valid:g}" + ("" if config.test_data else f" and test {config.test:g}")
    if not (n_valid and n_test):
        raise ValueError(f"{size}, {shares}, wanted at least 1 {config.level[:-1]} in each; raise --valid and --test")
    end = len(text) - (n_test if apart is None else 0)
    if (left := end - n_valid) < needed:
        shape = f"batch {config.batch} x length {config.length} + 1"
        lower = "--batch, --length" + (", --valid or --test" if max(config.valid, config.test) >= 1 else "")
        raise ValueError(
            f"{size}, {shares}: {max(left, 0)} are left, wanted {needed} to train on ({shape}); lower {lower}"
        )
    return Data(text[:left], text[left:end], text[end:] if apart is None else apart)


def held_out(name: str, wanted: float, length: int) -> int:
    """A share of the text, or so many symbols. Raises ValueError on a number of symbols that is not whole."""
    if wanted >= 1 and wanted % 1:
        raise ValueError(f"{name}: got {wanted:g}, wanted a share below 1 or a whole number")
    return int(wanted) if wanted >= 1 else min(int(length * wanted), LONGEST_HELD_OUT)


def vocabulary_of(data: Data, config: Text) -> Symbols:
    """All characters of the text, or the commonest words or tokens of its train part."""
    if config.level == "characters":
        if config.vocabulary:
            raise ValueError(
                f"vocabulary: got {config.vocabulary} beside characters, wanted it with --level words or tokens"
            )
        return "".join(sorted(set().union(*data)))
    found = commonest(data.train, config.vocabulary or 10_000)
    if len(found) < 2:
        known = "no word is there twice in the part to train on" if config.vocabulary != 1 else "got 1, which is <unk>"
        raise ValueError(f"vocabulary: {known}, wanted words that are known by name")
    return found


def kept_vocabulary(assets: Mapping[str, Any], config: Text) -> Symbols:
    """What an earlier run made of its text."""
    if config.level != "characters":
        return kept_words(assets, "vocabulary")
    if not isinstance(assets["vocabulary"], str):
        raise TypeError("vocabulary is no text")
    return assets["vocabulary"]


def judged(data: Data, part: str, vocabulary: Symbols, apart: bool) -> np.ndarray:
    """A part and the symbol before it, from which its first is predicted; a file apart begins as a text does."""
    before = encode((data.train if part == "valid" else data.valid)[-1:], vocabulary)
    first = opening(vocabulary) if apart and part == "test" else before
    return np.concatenate([first, encode(data._asdict()[part], vocabulary, "data")])


def manual() -> str:
    """The reference manual that Python's own help() prints, about 465,000 characters of English."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def write_sample(
    layer: Layer, params: PyTree, vocabulary: Symbols, config: Text, directory: Path, console: Console
) -> None:
    """What the model writes by itself, to a file and on the screen."""
    key = jax.random.split(jax.random.key(config.seeds[0] if config.seeds else config.seed), 3)[2]
    carry, opened = layer.carry((), params), opening(vocabulary)
    length = 500 if config.level == "characters" else 100
    _, new = generate(layer, params, carry, opened, length, key=key, temperature=0.8)
    sample = decode(new, vocabulary, config.level)
    write_whole(directory / "sample.txt", sample)
    console.out("\nA sample at temperature 0.8:\n", highlight=False)
    console.out(sample, highlight=False)


def continue_prompt(layer: Layer, params: PyTree, vocabulary: Symbols, level: Level, sample: Sample) -> str:
    """The prompt and what the model makes of it. Raises ValueError on a character the training text lacks."""
    given = split(sample.prompt, level)
    prompt = encode(given, vocabulary) if given else opening(vocabulary)
    how = {"temperature": sample.temperature, "top_k": sample.top_k, "top_p": sample.top_p}
    carry, key = layer.carry((), params), jax.random.key(sample.seed)
    _, new = generate(layer, params, carry, prompt, sample.length, key=key, **how)
    if level == "characters":
        return sample.prompt + decode(new, vocabulary, level)
    return written([*given, *(vocabulary[place] for place in np.asarray(new))], level)


def network(config: Text, vocabulary: int) -> Layer:
    """embed, the recurrent layers, dense: logits [T, *batch, vocabulary]."""
    policy = policy_of(config)
    layers, n = recurrent(config, config.embedding, policy)
    whole = stack(embed(vocabulary, config.embedding, policy=policy), layers, dense(n, vocabulary, policy=policy))
    return within(whole, config.init_range)


def bits_per_symbol(
    layer: Layer, params: PyTree, carry: PyTree, xs: Int[Array, "T *batch"], ys: Int[Array, "T *batch"], key: Any = None
) -> tuple[Float[Array, ""], PyTree]:
    """Mean cross-entropy in bits, and the carry to hand on."""
    carry, logits = layer.apply(params, carry, xs, key=key)
    return optax.softmax_cross_entropy_with_integer_labels(logits, ys).mean() / math.log(2), carry


def make_evaluate(layer: Layer) -> Callable[[PyTree, np.ndarray], float]:
    """Bits a symbol of a text read once as one stream, each predicted from everything before it."""

    @jax.jit
    def read(params: PyTree, carry: PyTree, xs: Any, ys: Any) -> tuple[Float[Array, ""], PyTree]:
        return bits_per_symbol(layer, params, carry, xs, ys)

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


def prose(text: np.ndarray, vocabulary: Symbols, length: int = 200) -> np.ndarray:
    """The part from a line's beginning on that has the most letters, or words: what a reader reads most easily."""
    letters = np.cumsum([0, *(vocabulary[k].isalpha() for k in text)])
    begins = [0, *(k + 1 for k in range(len(text) - length) if vocabulary[text[k]] == "\n")]
    start = max(begins, key=lambda k: letters[min(k + length, len(text))] - letters[k])
    return text[start : start + length]


def probed(text: np.ndarray, vocabulary: Symbols) -> Probed:
    """Some streams of the text side by side, and what a reader keeps track of in them."""
    T = max(min(len(text) // STREAMS, LONGEST_STREAM), 1)
    streams = [text[start : start + T] for start in range(0, T * min(STREAMS, len(text) // T), T)]
    known = [labels([vocabulary[k] for k in stream]) for stream in streams]
    every = {name: np.stack([each[name] for each in known], 1) for name in known[0]}
    return Probed(np.stack(streams, 1), {name: label for name, label in every.items() if enough(label)})


def anchors(data: Data, split: str, vocabulary: Symbols) -> dict[str, float]:
    """What a model should be read against on one of the run's own parts."""
    before = data.train if split == "valid" else data.train + data.valid  # pyright: ignore[reportOperatorIssue]
    return simple_means(data.train, before, data._asdict()[split], vocabulary)


def simple_means(train: Symbols, before: Symbols, part: Symbols, vocabulary: Symbols) -> dict[str, float]:
    """Bits a symbol of `part` by counting those of `train`, and by counting pairs of words or by gzip."""
    seen, met = encode(train, vocabulary, "data"), encode(part, vocabulary, "data")
    counts = np.bincount(seen, minlength=len(vocabulary)) + 1  # one more each: none is impossible
    shares = counts / counts.sum()
    unigrams = {"unigram entropy": float(-np.log2(shares[met]).mean())}
    if isinstance(vocabulary, str):
        text, known = "".join(part), "".join(before)
        alone, after = gzip_bits(text), gzip_bits(known + text) - gzip_bits(known)
        return unigrams | {"gzip -9 alone": alone / len(part), "gzip -9 after the text before": after / len(part)}
    first = encode(before[-1:], vocabulary)
    return unigrams | {"bigrams": bigram_bits(seen, np.concatenate([first, met]), shares)}


def bigram_bits(seen: np.ndarray, met: np.ndarray, shares: np.ndarray) -> float:
    """Bits of each symbol of `met` after the one before it, by the pairs in `seen` (Witten & Bell 1991).

    p(b | a) = (pairs(a, b) + kinds(a) share(b)) / (count(a) + kinds(a)), kinds(a) the symbols that follow a.
    """
    pairs = collections.Counter(zip(seen[:-1].tolist(), seen[1:].tolist(), strict=True))
    follow, kinds = np.bincount(seen[:-1], minlength=len(shares)), np.zeros(len(shares))
    np.add.at(kinds, [a for a, _ in pairs], 1)
    kinds = np.maximum(kinds, 1)
    a, b = met[:-1], met[1:]
    both = np.array([pairs[pair] for pair in zip(a.tolist(), b.tolist(), strict=True)])
    return float(-np.log2((both + kinds[a] * shares[b]) / (follow[a] + kinds[a])).mean())


def gzip_bits(text: str) -> int:
    return 8 * len(gzip.compress(text.encode(), 9, mtime=0))
