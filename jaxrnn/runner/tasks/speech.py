"""Spoken digits, several in a row, written down without being told when each is said.

Graves et al. 2013's architecture: layers of LSTM that read both ways, and connectionist temporal classification
(Graves et al. 2006) of the ten digits and a blank. A string is 3 to 7 digits of one speaker, recordings laid end to
end with up to 0.15 s of silence before each; what is read is the logarithm of its power in bands of the mel scale,
every 30 ms, standardised by the train part.

The recordings 0 to 4 of each speaker and digit make the test strings and those from 5 to 9 the strings to select by;
both are drawn once, the same for every seed. Training draws strings of all others, new ones at every step. Judged by
the label error rate: insertions, deletions and substitutions for each label, of the best path.
"""

import functools
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console

from jaxrnn import CELLS, Layer, checks, ctc_greedy, ctc_loss, dense, length_mask, stack
from jaxrnn.ctc import Labels
from jaxrnn.runner import plots
from jaxrnn.runner.assets import kept_numbers
from jaxrnn.runner.config import Speech
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.digits import NUMBERS, RATE, WHERE, Sound, Takes, read_digits
from jaxrnn.runner.mel import frames_in, log_mel
from jaxrnn.runner.networks import policy_of, recurrent
from jaxrnn.runner.problem import Columns, Probed, Problem, made_up, on_demand, sha256
from jaxrnn.runner.standard import mean_and_std
from jaxrnn.runner.wav import read_wav, write_wav

FRAME, HOP = 320, 240  # samples: 40 ms, every 30 ms
FEWEST, MOST = 3, 7  # digits in a string
PAUSE = 0.15  # seconds, the longest
BLANK = 0  # digit d is the label d + 1
PROBED = 16  # strings that are looked into
PIECE = 50  # strings an evaluation reads at a time


class String(NamedTuple):
    sound: Sound
    digits: list[int]


class Heard(NamedTuple):
    """What the network makes of a string."""

    logits: Float[np.ndarray, "frames 11"]
    digits: list[int]  # of the best path


class Batch(NamedTuple):
    xs: Any  # [T, batch, bands]
    lengths: Any  # [batch]
    labels: Any  # [7, batch]
    label_lengths: Any  # [batch]


def make(config: Speech, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where the recordings are not what is wanted, or there is no such cell."""
    checks.choice("speech", "cell", config.cell, CELLS)
    data = on_demand(lambda: load(config), config, assets)
    known = learn(data()[0]["train"], config.bands) if assets is None else kept(assets, config.bands)
    features = functools.partial(standardised, known=known, bands=config.bands)
    T = frames_in(int(config.seconds * RATE), FRAME, HOP)
    layer = network(config)
    listen = make_listen(layer, T)

    @functools.cache
    def read(split: str) -> tuple[list[np.ndarray], list[list[int]]]:
        strings = judged(data()[0][split], config, split)
        return [features(s.sound) for s in strings], [s.digits for s in strings]

    def batch_of(strings: Sequence[String]) -> Batch:
        labels = [np.pad(np.array(s.digits) + 1, (0, MOST - len(s.digits))) for s in strings]
        xs, lengths = padded([features(s.sound) for s in strings], T)
        counts = np.array([len(s.digits) for s in strings], np.int32)
        return Batch(xs, lengths, np.stack(labels, 1).astype(np.int32), counts)

    def loss(params: PyTree, carry: PyTree, batch: Batch, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        logits = logits_of(layer, params, batch.xs, batch.lengths, key)
        nats = ctc_loss(logits, batch.labels, batch.lengths, batch.label_lengths, BLANK)
        return nats.mean(), ()

    def evaluate(params: PyTree, split: str) -> dict[str, float]:
        xs, digits = read(split)
        return scores([heard.digits for heard in listen(params, xs)], digits)

    def own(path: Path) -> Float[np.ndarray, "frames bands"]:
        return features(read_wav(path, RATE, "file"))

    def predict(params: PyTree, path: Path) -> Columns:
        logits = np.asarray(jax.jit(layer.apply)(params, layer.carry((), params), own(path))[1])
        return said(logits)

    def finish(params: PyTree, directory: Path, console: Console) -> None:
        (xs, *_), (digits, *_) = read("test")
        (heard,) = listen(params, [xs])
        path = directory / "alignment.png"
        title = f"said: {written(digits)}      written: {written(heard.digits)}"
        plots.alignment(path, title, xs, chances(heard.logits), ["blank", *map(str, range(10))], HOP / RATE)
        console.out(f"\nThe first string of the test part, and where its digits were heard: {path}", highlight=False)

    return Problem(
        layer=layer,
        batch=lambda seed, step: batch_of(drawn(data()[0]["train"], config, seed, step)),
        loss=loss,
        evaluate=evaluate,
        specs=Batch(P(None, AXIS), P(AXIS), P(None, AXIS), P(AXIS)),
        name="nats",
        unit="% of labels",
        item="strings",
        items=config.batch,
        example=lambda: read("valid")[0][0],
        made_up=lambda: made_up(20, config.bands),
        read=own,
        probed=lambda: probed(read("valid")[0][:PROBED]),
        network=network,
        assets=known,
        sha256=lambda: sha256(*data()[1]),
        finish=finish,
        predict=predict,
    )


# -- the recordings


def load(config: Speech) -> tuple[dict[str, Takes], list[bytes]]:
    """Each part's recordings, and what was read."""
    if config.data is None:
        raise ValueError(f"data: got none, wanted a folder or a tar of recordings; {WHERE}")
    return read_digits(config.data)


def kept(assets: Mapping[str, Any], bands: int) -> dict[str, Any]:
    """What an earlier run learnt of its recordings."""
    return {name: kept_numbers(assets, name, bands).tolist() for name in ("mean", "std")}


# -- strings


def string(takes: Takes, numbers: np.random.Generator, longest: int) -> String:
    """Digits of one speaker, drawn at random; drawn again where they last longer than `longest` samples."""
    speakers = sorted({speaker for speaker, _ in takes})
    while True:
        speaker = speakers[numbers.integers(len(speakers))]
        digits = numbers.integers(10, size=numbers.integers(FEWEST, MOST + 1)).tolist()
        sounds = []
        for digit in digits:
            recordings = takes[speaker, digit]
            pause = np.zeros(numbers.integers(int(PAUSE * RATE)), np.float32)
            sounds += [pause, recordings[numbers.integers(len(recordings))]]
        if sum(map(len, sounds)) <= longest:
            return String(np.concatenate(sounds), digits)


def drawn(takes: Takes, config: Speech, seed: int, step: int) -> list[String]:
    """What is read at this step: a function of the seed and the step alone."""
    numbers = np.random.default_rng([seed, step])
    return [string(takes, numbers, int(config.seconds * RATE)) for _ in range(config.batch)]


def judged(takes: Takes, config: Speech, split: str) -> list[String]:
    """The strings of a part that is judged."""
    numbers = np.random.default_rng([list(NUMBERS).index(split), 0, 1])  # of no [seed, step]
    return [string(takes, numbers, int(config.seconds * RATE)) for _ in range(config.strings)]


# -- features


def learn(train: Takes, bands: int) -> dict[str, Any]:
    """The mean and standard deviation of each band over all frames of the train part."""
    frames = np.concatenate([powers(sound, bands) for sounds in train.values() for sound in sounds])
    mean, std = mean_and_std(frames)
    return {"mean": mean.tolist(), "std": std.tolist()}


def powers(sound: Sound, bands: int) -> Float[np.ndarray, "frames bands"]:
    return log_mel(sound, RATE, bands, FRAME, HOP)


def standardised(sound: Sound, known: Mapping[str, Any], bands: int) -> Float[np.ndarray, "frames bands"]:
    return ((powers(sound, bands) - np.array(known["mean"])) / np.array(known["std"])).astype(np.float32)


def padded(
    features: Sequence[np.ndarray], T: int
) -> tuple[Float[np.ndarray, "T batch bands"], Int[np.ndarray, "batch"]]:
    xs = np.stack([np.pad(each, ((0, T - len(each)), (0, 0))) for each in features], 1)
    return xs, np.array([len(each) for each in features], np.int32)


def probed(some: Sequence[Float[np.ndarray, "frames bands"]]) -> Probed:
    """Some strings, as far as the shortest goes; in the state, what they were some frames before is looked for."""
    return Probed(np.stack([xs[: min(map(len, some))] for xs in some], 1), {})


# -- the network


def network(config: Speech) -> Layer:
    """xs [T, *batch, bands] -> logits of the blank and the ten digits."""
    policy = policy_of(config)
    layers, n = recurrent(config, config.bands, policy, both_ways=True)
    return stack(layers, dense(n, 11, policy=policy))


def logits_of(
    layer: Layer, params: PyTree, xs: Array, lengths: Int[Array, "batch"], key: PRNGKeyArray | None = None
) -> Float[Array, "T batch 11"]:
    mask = length_mask(lengths, xs.shape[0])
    return layer.apply(params, layer.carry(lengths.shape, params), xs, key=key, mask=mask)[1]


def make_listen(layer: Layer, T: int) -> Callable[[PyTree, Sequence[np.ndarray]], list[Heard]]:
    """listen(params, features): what is heard in each string."""

    @jax.jit
    def piece(params: PyTree, xs: Array, lengths: Array) -> tuple[Array, Labels]:
        logits = logits_of(layer, params, xs, lengths)
        return logits, ctc_greedy(logits, lengths, BLANK)

    def listen(params: PyTree, features: Sequence[np.ndarray]) -> list[Heard]:
        found = []
        for start in range(0, len(features), PIECE):
            part = features[start : start + PIECE]
            xs, lengths = padded([*part, *[part[0]] * (PIECE - len(part))], T)  # one program for all pieces
            logits, best = jax.tree.map(np.asarray, piece(params, xs, lengths))
            for k, each in enumerate(part):
                found.append(Heard(logits[: len(each), k], (best.labels[: best.lengths[k], k] - 1).tolist()))
        return found

    return listen


# -- labels


def said(logits: Float[np.ndarray, "T 11"]) -> Columns:
    """Each digit of the best path, when it was first heard and the highest probability that it had there."""
    path, p = logits.argmax(-1), chances(logits)
    begins = np.flatnonzero((path != BLANK) & (path != np.concatenate([[BLANK], path[:-1]])))
    ends = [begin + int(np.argmax(np.append(path[begin:], -1) != path[begin])) for begin in begins]
    return {
        "digit": (path[begins] - 1).tolist(),
        "second": (begins * HOP / RATE).round(2).tolist(),
        "probability": [round(float(p[a:b, path[a]].max()), 6) for a, b in zip(begins, ends, strict=True)],
    }


def chances(logits: Float[np.ndarray, "T 11"]) -> Float[np.ndarray, "T 11"]:
    return np.asarray(jax.nn.softmax(logits))


def scores(found: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> dict[str, float]:
    """In percent: label errors for each label of the truth, and strings with any error."""
    errors = np.array([distance(a, b) for a, b in zip(found, truth, strict=True)])
    return {
        "label_error": 100 * float(errors.sum() / sum(map(len, truth))),
        "wrong_strings": 100 * float((errors > 0).mean()),
    }


def distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """The fewest insertions, deletions and substitutions that make b of a (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def written(digits: Sequence[int]) -> str:
    return " ".join(map(str, digits))


def stand_in(folder: Path) -> dict[str, Any]:
    """A made-up tar of the same format: a tone for each digit."""
    path = folder / "recordings.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for digit in range(10):
            for number in (0, 5, 10, 11):
                seconds = np.arange(RATE // 10 + 100 * number) / RATE
                sound, file = 0.3 * np.sin(2 * np.pi * 300 * (digit + 1) * seconds), io.BytesIO()
                write_wav(file, sound, RATE)
                member = tarfile.TarInfo(f"recordings/{digit}_someone_{number}.wav")
                member.size = len(file.getvalue())
                tar.addfile(member, io.BytesIO(file.getvalue()))
    return {"data": path}
