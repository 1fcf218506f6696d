"""A tag for each word: embeddings of the words around it, recurrent layers, and a dense one (Mesnil et al. 2015).

A word that is there once in the part to learn from is unknown, so that unknown words are met in training; every digit
is 0. Sentences are padded to the longest and masked.
"""

import collections
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console
from rich.table import Table

from jaxrnn import CELLS, Layer, checks, dense, dropout, embed, length_mask, stack
from jaxrnn.masks import zeroed
from jaxrnn.runner import symbols
from jaxrnn.runner.assets import kept_words
from jaxrnn.runner.config import Tagging
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.draws import draw
from jaxrnn.runner.files import write_whole
from jaxrnn.runner.networks import policy_of, recurrent
from jaxrnn.runner.parallel_text import sentences
from jaxrnn.runner.problem import Columns, Problem, on_demand, sha256
from jaxrnn.runner.tagged import OUTSIDE, WANTED, Tagged, counted, read_tagged
from jaxrnn.types import spec

SPLITS = ("train", "valid", "test")
PIECE, WIDTH = 128, 16  # sentences tagged at a time, padded to a multiple of WIDTH words
SHOWN = 20  # kinds of phrases in the table, sentences in the file


class Batch(NamedTuple):
    xs: Any  # [T, batch], places of words
    ys: Any  # [T, batch], places of tags
    lengths: Any  # [batch]
    share: Any  # [batch], of each word in the mean over the batch


def make(config: Tagging, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where the files are not what is wanted, or there is no such cell."""
    checks.choice("tagging", "cell", config.cell, CELLS)
    if config.window % 2 == 0:
        raise ValueError(f"window: got {config.window}, wanted an odd number: the word itself stands in the middle")
    data = on_demand(lambda: load(config), config, assets)
    known = learn(data(), config) if assets is None else {name: kept_words(assets, name) for name in ("words", "tags")}
    words, tags = known["words"], known["tags"]
    layer = network(config, len(words), len(tags))
    train = functools.cache(lambda: [places_of(sentence, known) for sentence in data()["train"]])
    longest = functools.cache(lambda: max(len(xs) for xs, _ in train()))
    tag = make_tag(layer, tags)

    def batch(seed: int, step: int) -> Batch:
        return batch_of([train()[k] for k in draw(len(train()), config.batch, seed, step)], longest())

    def loss(params: PyTree, carry: PyTree, batch: Batch, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        mask = length_mask(batch.lengths, batch.xs.shape[0])
        _, logits = layer.apply(params, layer.carry(batch.lengths.shape, params), batch.xs, key=key, mask=mask)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, batch.ys)
        return (jnp.where(mask, each, 0).sum(0) * batch.share).mean(), ()

    def judged(params: PyTree, part: Sequence[Tagged]) -> dict[str, float]:
        said = tag(params, [encoded(sentence.words, words) for sentence in part])
        truth = [sentence.tags for sentence in part]
        right = sum(a == b for x, y in zip(truth, said, strict=True) for a, b in zip(x, y, strict=True))
        return {"f1": counted(truth, said).f1, "accuracy": 100 * right / sum(map(len, truth))}

    def predict(params: PyTree, path: Path) -> Columns:
        lines = sentences(path, "file")
        said = tag(params, [encoded(line, words) for line in lines])
        return {
            "sentence": [n for n, line in enumerate(lines, 1) for _ in line],
            "word": [word for line in lines for word in line],
            "tag": [each for line in said for each in line],
        }

    def finish(params: PyTree, directory: Path, console: Console) -> None:
        part = data()["test"]
        show(part, tag(params, [encoded(sentence.words, words) for sentence in part]), directory, console)

    return Problem(
        layer=layer,
        batch=batch,
        loss=loss,
        evaluate=lambda params, split: judged(params, data()[split]),
        better="higher",
        specs=Batch(P(None, AXIS), P(None, AXIS), P(AXIS), P(AXIS)),
        name="cross_entropy",
        unit="%",
        item="sentences",
        items=config.batch,
        example=lambda: encoded(data()["valid"][0].words, words),
        made_up=lambda: np.arange(10, dtype=np.int32) % len(words),
        symbols=words,
        read=lambda path: encoded(sentences(path, "file")[0], words),
        network=lambda config: network(config, len(words), len(tags)),
        assets=known,
        sha256=lambda: sha256(*(" ".join([*s.words, *s.tags]).encode() for part in SPLITS for s in data()[part])),
        finish=finish,
        predict=predict,
        evaluate_file=lambda params, path: (judged(params, read_tagged(path)), dict),
    )


# -- the data


def load(config: Tagging) -> dict[str, list[Tagged]]:
    """The three parts, each from where the one before it ends."""
    if config.data is None:
        raise ValueError(f"data: got none, wanted {WANTED}, whose files github.com/yvchen/JointSLU has in data")
    every = read_tagged(config.data)
    apart = read_tagged(config.test_data, "test_data") if config.test_data else None
    n_test, n_valid = 0 if apart else int(len(every) * config.test), int(len(every) * config.valid)
    kept = len(every) - n_test - n_valid
    if kept < 1 or n_valid == 0 or not (apart or n_test):
        shares = f"valid is {config.valid}" + ("" if apart else f" and test {config.test}")
        raise ValueError(f"data: {config.data} has {len(every)} sentences, {shares}, wanted at least 1 in each part")
    parts = every[:kept], every[kept : kept + n_valid], apart or every[kept + n_valid :]
    return dict(zip(SPLITS, parts, strict=True))


def learn(data: Mapping[str, Sequence[Tagged]], config: Tagging) -> dict[str, list[str]]:
    """The words and tags of the part to learn from; a tag that is met later alone can not be said."""
    words = symbols.commonest([spelt(word) for sentence in data["train"] for word in sentence.words], config.vocabulary)
    tags = sorted({OUTSIDE}.union(*(sentence.tags for sentence in data["train"])))
    if len(tags) < 2:
        raise ValueError(f"data: {config.data} has no tag but O in the part to learn from, wanted phrases")
    return {"words": words, "tags": tags}


def spelt(word: str) -> str:
    return "".join("0" if letter.isdecimal() else letter for letter in word)


def encoded(words: Sequence[str], vocabulary: Sequence[str]) -> Int[np.ndarray, "T"]:
    return symbols.encode([spelt(word) for word in words], list(vocabulary))


def places_of(sentence: Tagged, known: Mapping[str, list[str]]) -> tuple[Int[np.ndarray, "T"], list[int]]:
    """Its words and its tags, as places among those that are known."""
    return encoded(sentence.words, known["words"]), [known["tags"].index(tag) for tag in sentence.tags]


def batch_of(chosen: Sequence[tuple[np.ndarray, list[int]]], T: int) -> Batch:
    """Sentences side by side, zeros where they have ended."""
    xs, ys = np.zeros((2, T, len(chosen)), np.int32)
    for k, (words, tags) in enumerate(chosen):
        xs[: len(words), k], ys[: len(tags), k] = words, tags
    lengths = np.array([len(words) for words, _ in chosen], np.int32)
    share = np.full(len(chosen), len(chosen) / lengths.sum(), np.float32)
    return Batch(xs, ys, lengths, share)


# -- the network


def network(config: Tagging, words: int, tags: int) -> Layer:
    """xs [T, *batch], places of words -> logits [T, *batch, tags]."""
    policy = policy_of(config)
    inputs = [embed(words, config.embedding, policy=policy), dropout(config.dropout), context(config.window)]
    layers, n = recurrent(config, config.window * config.embedding, policy, config.bidirectional)
    return stack(*inputs, layers, dense(n, tags, policy=policy))


def context(window: int) -> Layer:
    """xs [T, *batch, n] -> [T, *batch, window n]: those of `window` steps around each; zeros where there are none."""
    side = window // 2

    def apply(params: tuple[()], carry: PyTree, xs: Array, *, key=None, mask=None, reset=None) -> tuple[PyTree, Array]:
        around = jnp.pad(zeroed(xs, mask), ((side, side), *((0, 0),) * (xs.ndim - 1)))
        return carry, jnp.concatenate([around[k : k + xs.shape[0]] for k in range(window)], -1)

    return Layer(lambda key: (), lambda batch_shape, params=None: (), apply, spec("context", window=window))


def make_tag(layer: Layer, tags: list[str]) -> Callable[..., list[list[str]]]:
    """tag(params, sentences): the likeliest tag of every word, of sentences as places of words."""

    @jax.jit
    def piece(params: PyTree, xs: Array, lengths: Array) -> Array:
        mask = length_mask(lengths, xs.shape[0])
        return layer.apply(params, layer.carry(lengths.shape, params), xs, mask=mask)[1].argmax(-1)

    def tag(params: PyTree, part: Sequence[np.ndarray]) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in part]
        order = np.argsort([len(sentence) for sentence in part], kind="stable")
        for start in range(0, len(part), PIECE):
            which = order[start : start + PIECE]
            T = -(-max(len(part[k]) for k in which) // WIDTH) * WIDTH
            xs = np.zeros((T, PIECE), np.int32)
            lengths = np.zeros(PIECE, np.int32)
            for place, k in enumerate(which):
                xs[: len(part[k]), place], lengths[place] = part[k], len(part[k])
            best = np.asarray(piece(params, xs, lengths))
            for place, k in enumerate(which):
                found[k] = [tags[each] for each in best[: len(part[k]), place]]
        return found

    return tag


# -- what a run leaves


def show(part: Sequence[Tagged], said: Sequence[Sequence[str]], directory: Path, console: Console) -> None:
    """How well each of the commonest kinds is found; some sentences as they were tagged, to a file."""
    truth = [sentence.tags for sentence in part]
    kinds = collections.Counter(tag[2:] for tags in truth for tag in tags if tag.startswith("B-"))
    table = Table("phrase", "in test", "said", "right", "F1")
    for kind, _ in kinds.most_common(SHOWN):
        counts = counted(truth, said, kind)
        table.add_row(kind, *(f"{n:,}" for n in counts), f"{counts.f1:.1f}")
    console.print(table)
    write_whole(directory / "tagged.txt", "\n".join(map(told, part[:SHOWN], said[:SHOWN])))


def told(sentence: Tagged, said: Sequence[str]) -> str:
    """A word a line, its tag, and the one that was said where it is another."""
    rows = zip(sentence.words, sentence.tags, said, strict=True)
    return "".join(f"{word} {tag}{'' if tag == other else f'   said: {other}'}\n" for word, tag, other in rows)


def stand_in(folder: Path) -> dict[str, Any]:
    """A made-up file of the same format: from where to where."""
    numbers, towns = np.random.default_rng(0), ("ulm", "bad ems", "rome", "new york")
    lines = []
    for _ in range(60):
        words, tags = ["BOS", "go"], ["O", "O"]
        for direction in ("from", "to"):
            town = towns[numbers.integers(len(towns))].split()
            words += [direction, *town]
            tags += ["O", *[f"{mark}-{direction}" for mark in ("B", "I")[: len(town)]]]
        lines.append(f"{' '.join([*words, 'EOS'])}\t{' '.join([*tags, 'trip'])}\n")
    (folder / "towns.iob").write_text("".join(lines))
    return {"data": folder / "towns.iob"}
