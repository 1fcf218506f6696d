"""From one language to another: an encoder reads a sentence, a decoder writes it (Cho et al. 2014).

    encoder    embed, one recurrent layer in each direction
    bridge     h_0 = tanh(W [h_forward, h_backward] + b) of what each direction ends with (Bahdanau et al. 2015, A.2.2,
               has the backward one alone)
    decoder    embed, one recurrent layer, a dense layer as wide as an embedding, logits of the words

The bridge gives the state h; what else a cell carries, as an LSTM's c, begins as it would alone.

With attention the recurrent layer reads, beside the word before, a mean of the encoder's outputs, weighted by
v . tanh(W s + U h_j) (Bahdanau et al. 2015, A.1.2), and so do the logits. Without, h_0 is all that it hears. Sentences
are written by beam search and judged by BLEU, on the part to select by as on the test part.

Pairs of about one length stand on a shelf and make a batch, so that little is padding; which shelf a step takes is
the same for every seed.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console

from jaxrnn import (
    CELLS,
    Layer,
    attend,
    beam_search,
    bidirectional,
    checks,
    dense,
    dropout,
    embed,
    encode,
    length_mask,
    stack,
    teacher_forcing,
    unroll,
)
from jaxrnn.attention import look
from jaxrnn.runner import plots, symbols
from jaxrnn.runner.assets import kept_words
from jaxrnn.runner.bleu import bleu, signature
from jaxrnn.runner.config import Translate
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.files import write_whole
from jaxrnn.runner.networks import policy_of
from jaxrnn.runner.parallel_text import WHERE, Pairs, Sentence, read_pairs, sentences
from jaxrnn.runner.problem import Columns, Problem, on_demand, sha256
from jaxrnn.seq2seq import EncoderDecoder

END, UNKNOWN = "<end>", symbols.UNKNOWN  # the first two words of a vocabulary
STOP = 0  # the place of END, which is also what the decoder reads first
PIECE, WIDTH = 128, 8  # sentences translated at a time, padded to a multiple of WIDTH words
RECURRENT = 2  # the recurrent layer's place in both stacks
SHOWN = 6  # examples
KNOWN = {"066dc04deb9e0bf638405a2d53ac3961fc4612e1ac98f8920e0f70ad54238faf": "Multi30k, de to en, test_2016_flickr"}


class Side(NamedTuple):
    """Sentences of one language as places in its vocabulary, STOP behind the last word and up to the longest."""

    ids: Int[np.ndarray, "sentences longest"]
    lengths: Int[np.ndarray, "sentences"]  # in words, without END


class Batch(NamedTuple):
    sources: Any  # [S, batch]
    source_lengths: Any  # [batch]
    targets: Any  # [T, batch], END the last
    target_lengths: Any  # [batch], with END
    share: Any  # [batch], of each word in the mean over the batch


class Params(NamedTuple):
    encoder: Any
    bridge: Any
    decoder: Any


class Parts(NamedTuple):
    """The layers of a translator."""

    encoder: Layer
    bridge: Layer
    decoder: Layer


def make(config: Translate, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where the files are not what is wanted, there is no such cell, or no sacrebleu."""
    checks.choice("translate", "cell", config.cell, CELLS)
    told: dict[str, Any] = {"bleu": signature()} if assets is None else {}  # now, lest it be missing at the end
    data = on_demand(lambda: load(config), config, assets)
    known = kept(assets) if assets is not None else told | learn(*data(), config.vocabulary)
    source, target = known["source"], known["target"]
    parts = network(config, len(source), len(target))
    layer = whole(parts, config.beam, config.penalty)
    translate = make_translate(layer, target)
    read = functools.cache(lambda split: side(text(split).source, source))
    train = functools.cache(lambda: (read("train"), side(text("train").target, target)))
    on_shelves = functools.cache(lambda: shelves(*train(), config.shelves))

    def text(split: str) -> Pairs:
        return data()[0][split]

    def loss(params: Params, carry: PyTree, batch: Batch, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        return (nats(parts, params, batch, key) * batch.share).mean(), ()

    def predict(params: Params, path: Path) -> Columns:
        lines = sentences(path, "file")
        found = translate(params, side(lines, source))
        return {"sentence": range(1, len(lines) + 1), "translation": [" ".join(words) for words in found]}

    def finish(params: Params, directory: Path, console: Console) -> None:
        shown = Pairs(*(each[:SHOWN] for each in text("test")))
        ours = translate(params, side(shown.source, source))
        write_examples(shown, ours, directory, console)
        if config.attention:
            weights = looks(parts, params, side(shown.source[:1], source), side(ours[:1], target))
            plots.attention(directory / "attention.png", shown.source[0], [*ours[0], END], weights)

    return Problem(
        layer=layer,
        batch=lambda seed, step: drawn(*train(), on_shelves(), config.batch, seed, step),
        loss=loss,
        evaluate=lambda params, split: {"bleu": bleu(translate(params, read(split)), text(split).target)},
        better="higher",
        specs=Batch(P(None, AXIS), P(AXIS), P(None, AXIS), P(AXIS), P(AXIS)),
        name="nats",
        unit="BLEU",
        item="pairs",
        items=config.batch,
        anchors=lambda split: {"the source as it stands": bleu(text(split).source, text(split).target)},
        assets=known,
        sha256=lambda: data()[1]["sha256"],
        finish=finish,
        predict=predict,
    )


# -- the text


def load(config: Translate) -> tuple[dict[str, Pairs], dict[str, Any]]:
    """Its three parts, and what it is: its checksum and how many pairs each part has."""
    if config.data is None:
        raise ValueError(f"data: got none, wanted a folder with train.{config.source} and others; {WHERE}")
    names = {"train": "train", "valid": "val", "test": config.test}
    texts = {split: read_pairs(config.data, name, config.source, config.target) for split, name in names.items()}
    lines = ["\n".join(map(" ".join, each)).encode() for text in texts.values() for each in text]
    digest = sha256(*lines)
    sizes = {split: len(text.source) for split, text in texts.items()}
    return texts, {"sha256": digest, "known_as": KNOWN.get(digest), **sizes}


def learn(texts: Mapping[str, Pairs], found: Mapping[str, Any], most: int) -> dict[str, Any]:
    """What a later command needs to know of the text."""
    return {"data": found} | vocabularies(texts["train"], most)


def kept(assets: Mapping[str, Any]) -> dict[str, Any]:
    """What an earlier run knew of it."""
    for name in ("source", "target"):
        if kept_words(assets, name)[:2] != [END, UNKNOWN]:
            raise ValueError(f"assets: {name} does not begin with {END} and {UNKNOWN}")
    return dict(assets)


def vocabularies(train: Pairs, most: int) -> dict[str, list[str]]:
    """Of the train part alone: <end>, <unk>, and the commonest words."""
    return {
        name: [END, *symbols.commonest([word for words in each for word in words], most)]
        for name, each in train._asdict().items()
    }


def side(lines: list[Sentence], vocabulary: list[str]) -> Side:
    places = {word: place for place, word in enumerate(vocabulary)}
    lengths = np.array([len(words) for words in lines])
    ids = np.full((len(lines), lengths.max() + 1), STOP, np.int32)
    for row, words in zip(ids, lines, strict=True):
        row[: len(words)] = [places.get(word, places[UNKNOWN]) for word in words]
    return Side(ids, lengths)


# -- the batches


def shelves(source: Side, target: Side, most: int) -> list[Int[np.ndarray, "pairs"]]:
    """Which pairs stand together: those of about one length, half as many on each shelf as on the one before."""
    order = np.argsort(np.maximum(source.lengths, target.lengths + 1), kind="stable")
    ends = [int(len(order) * (1 - 0.5**k)) for k in range(1, most)]
    return [shelf for shelf in np.split(order, ends) if len(shelf)]


def drawn(
    source: Side, target: Side, on_shelves: list[Int[np.ndarray, "pairs"]], batch: int, seed: int, step: int
) -> Batch:
    """A batch from one shelf, padded to its longest: which shelf is a function of the step, which pairs of the seed
    too. An epoch has every pair at most once, and leaves less than a batch of each shelf to others.
    """
    counts = [max(len(shelf) // batch, 1) for shelf in on_shelves]
    epoch, k = divmod(step, sum(counts))
    order = turns(tuple(counts), epoch)
    which, before = order[k], int((order[:k] == order[k]).sum())
    shelf = on_shelves[which]
    places = permutation(len(shelf), seed, epoch, int(which)).take(before * batch + np.arange(batch), mode="wrap")
    S, T = int(source.lengths[shelf].max()), int(target.lengths[shelf].max()) + 1
    pairs = shelf[places]
    lengths = (target.lengths[pairs] + 1).astype(np.int32)
    share = np.full(batch, batch / lengths.sum(), np.float32)
    return Batch(
        source.ids[pairs, :S].T, source.lengths[pairs].astype(np.int32), target.ids[pairs, :T].T, lengths, share
    )


@functools.lru_cache(maxsize=8)
def turns(counts: tuple[int, ...], epoch: int) -> Int[np.ndarray, "batches"]:
    """The shelf of each batch of an epoch."""
    return np.random.default_rng([epoch]).permutation(np.repeat(np.arange(len(counts)), counts))


@functools.lru_cache(maxsize=64)
def permutation(n: int, seed: int, epoch: int, shelf: int) -> Int[np.ndarray, "n"]:
    return np.random.default_rng([seed, epoch, shelf]).permutation(n)


# -- the network


def network(config: Translate, n_source: int, n_target: int) -> Parts:
    policy = policy_of(config)
    units, embedding = config.units, config.embedding
    new, drop = CELLS[config.cell], dropout(config.dropout)
    ways = unroll(new(embedding, units, policy=policy)), unroll(new(embedding, units, policy=policy), reverse=True)
    if not hasattr(jax.eval_shape(lambda: ways[0].carry(())), "h"):
        raise ValueError(f"translate: cell {config.cell!r} has no state h, wanted one such as gru or lstm")
    memory = 2 * units if config.attention else 0
    cell = new(embedding + memory, units, policy=policy)
    recurrent = unroll(cell)
    if config.attention:  # by "scan" a training step took 0.43 CPU seconds, by "fused" 0.55, beside other work
        recurrent = unroll(attend(cell, "additive", memory, policy=policy), method="scan")
    out = dense(units + memory, embedding, policy=policy), dense(embedding, n_target, policy=policy)
    return Parts(
        stack(embed(n_source, embedding, policy=policy), drop, bidirectional(*ways), drop),
        dense(2 * units, units, policy=policy),
        stack(embed(n_target, embedding, policy=policy), drop, recurrent, drop, *out),
    )


def heard(
    parts: Parts, params: Params, sources: Int[Array, "S *batch"], mask: Bool[Array, "S *batch"] | None, key: Any = None
) -> tuple[PyTree, PyTree]:
    """The decoder's params, with the source in them where it is looked at, and its first carry."""

    def bridge(last: Any) -> Any:
        ways = last[RECURRENT]
        ends = jnp.concatenate([ways.forward.h, ways.backward.h], axis=-1)
        first = jnp.tanh(parts.bridge.apply(params.bridge, (), ends[None])[1][0])
        carry = list(parts.decoder.carry(sources.shape[1:], params.decoder))
        carry[RECURRENT] = carry[RECURRENT]._replace(h=first.astype(carry[RECURRENT].h.dtype))
        return tuple(carry)

    both = EncoderDecoder(params.encoder, params.decoder)
    return encode(parts.encoder, parts.decoder, both, sources, mask=mask, bridge=bridge, key=key)


def nats(parts: Parts, params: Params, batch: Batch, key: PRNGKeyArray | None = None) -> Float[Array, "batch"]:
    """-log p of each target, END with it, given its source."""
    key_e, key_d = (None, None) if key is None else jax.random.split(key)
    bound, carry = heard(parts, params, batch.sources, length_mask(batch.source_lengths, len(batch.sources)), key_e)
    mask = length_mask(batch.target_lengths, len(batch.targets))
    starts = jnp.full_like(batch.targets[0], STOP)
    logits = teacher_forcing(parts.decoder, bound, carry, batch.targets, starts, mask=mask, key=key_d)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    return jnp.where(mask, each, 0).sum(0)


def whole(parts: Parts, width: int, penalty: float) -> Layer:
    """The translator as a Layer: sources [S, *batch] -> the beam search's best, ids [1.5 S + 5, *batch]."""

    def init(key: PRNGKeyArray) -> Params:
        return Params(*(part.init(each) for part, each in zip(parts, jax.random.split(key, 3), strict=True)))

    def apply(params: Params, carry: PyTree, xs: Array, *, key=None, mask=None, reset=None) -> tuple[PyTree, Array]:
        bound, first = heard(parts, params, xs, mask)
        starts = jnp.full_like(xs[0], STOP)
        length = len(xs) * 3 // 2 + 5
        found = beam_search(parts.decoder, bound, first, starts, length, STOP, width, penalty)
        return (), found.ids[..., 0]

    return Layer(init, lambda batch_shape, params=None: (), apply)


# -- sentences


def make_translate(layer: Layer, vocabulary: list[str]) -> Callable[[PyTree, Side], list[Sentence]]:
    """translate(params, source): each sentence as the beam search gives it, by pieces of similar lengths."""

    @jax.jit
    def piece(params: PyTree, xs: Array, lengths: Array) -> Array:
        return layer.apply(params, (), xs, mask=length_mask(lengths, len(xs)))[1]

    def translate(params: PyTree, source: Side) -> list[Sentence]:
        order, size = np.argsort(source.lengths, kind="stable"), min(PIECE, len(source.lengths))
        found: list[Sentence] = [[]] * len(order)
        for start in range(0, len(order), size):
            which = order[max(min(start, len(order) - size), 0) :][:size]  # the last piece is whole, too
            lengths = source.lengths[which].astype(np.int32)
            S = -(-int(lengths.max()) // WIDTH) * WIDTH
            xs = np.pad(source.ids[which], ((0, 0), (0, S)))[:, :S].T
            for k, ids in zip(which, np.asarray(piece(params, xs, lengths)).T, strict=True):
                found[k] = [vocabulary[place] for place in ids[: written(ids)]]
        return found

    return translate


def written(ids: Int[np.ndarray, "length"]) -> int:
    """Words before the first END."""
    return int(np.argmax(ids == STOP)) if (ids == STOP).any() else len(ids)


def looks(parts: Parts, params: Params, source: Side, target: Side) -> Float[np.ndarray, "T S"]:
    """How much each word of one target, END with it, was written with an eye on each word of its source."""
    bound, carry = heard(parts, params, jnp.asarray(source.ids[:, :-1].T), None)
    attended, weights = bound[RECURRENT], []
    for x in [STOP, *target.ids[0, :-1]]:
        weights.append(look(attended.attention, carry[RECURRENT].h, attended.memory)[1][:, 0])
        carry, _ = parts.decoder.apply(bound, carry, jnp.full((1, 1), x))
    return np.asarray(weights)


def write_examples(shown: Pairs, ours: list[Sentence], directory: Path, console: Console) -> None:
    """The first sentences of the test part, to a file and on the screen."""
    rows = zip(shown.source, shown.target, ours, strict=True)
    names = ("source", "reference", "ours")
    words = "\n\n".join("\n".join(f"{n:<10} {' '.join(s)}" for n, s in zip(names, row, strict=True)) for row in rows)
    write_whole(directory / "examples.txt", words + "\n")
    console.out(f"\n{words}", highlight=False)


def stand_in(folder: Path) -> dict[str, Any]:
    """A made-up pair of languages in files of the same format: the words of one, backwards, are those of the other."""
    numbers, folder = np.random.default_rng(0), folder / "pairs"
    folder.mkdir()
    for name, count in (("train", 60), ("val", 6), ("test_2016_flickr", 5)):
        lines = [numbers.integers(8, size=numbers.integers(2, 7)) for _ in range(count)]
        for language, sign, way in (("de", "d", 1), ("en", "e", -1)):
            text = "\n".join(" ".join(f"{sign}{k}" for k in line[::way]) for line in lines)
            (folder / f"{name}.lc.norm.tok.{language}").write_text(text + "\n", encoding="utf-8")
    return {"data": folder}
