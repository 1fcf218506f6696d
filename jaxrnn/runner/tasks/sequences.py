"""Labelled sequences from a file: a class or a number for each sequence, or for each of its steps.

Features are standardised by the mean and the standard deviation of the train part, which go with the run. Sequences
are padded to the longest and masked, so that padding reaches neither the loss nor a score.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console

from jaxrnn import CELLS, Layer, checks, dense, last, length_mask, stack
from jaxrnn.exporting import exportable
from jaxrnn.runner.assets import kept_numbers, kept_words
from jaxrnn.runner.config import Sequences
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.draws import draw
from jaxrnn.runner.judges import judge_of
from jaxrnn.runner.labelled import WANTED, Labelled, read_labelled
from jaxrnn.runner.networks import policy_of, recurrent
from jaxrnn.runner.problem import Columns, Probed, Problem, made_up, on_demand, sha256
from jaxrnn.runner.standard import mean_and_std
from jaxrnn.runner.tables import listed, short
from jaxrnn.types import spec

PROBED = 16  # sequences that are looked into
PIECE = 256  # sequences an evaluation reads at a time


class Data(NamedTuple):
    """Ready for the network: standardised features, labels as numbers."""

    xs: Float[np.ndarray, "steps n"]
    starts: Int[np.ndarray, "N"]  # the first step of each sequence
    lengths: Int[np.ndarray, "N"]
    ys: np.ndarray | None  # int32 places among the classes, or standardised float32; one a sequence or one a step


class Parts(NamedTuple):
    files: dict[str, Labelled]  # each part's
    places: dict[str, Int[np.ndarray, "part"]]  # of its sequences there


class Batch(NamedTuple):
    xs: Any  # [T, batch, n]
    lengths: Any  # [batch]
    ys: Any  # [batch], or [T, batch]
    share: Any  # [batch], of each label in the mean over the batch


class Params(NamedTuple):
    layers: Any
    readout: Any


def make(config: Sequences, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where a file is not what is wanted, or its labels are not those trained on."""
    checks.choice("sequences", "cell", config.cell, CELLS)
    parts = on_demand(lambda: load(config, assets), config, assets)
    known = learn(parts().files["train"], parts().places["train"], config) if assets is None else kept(assets)
    judge = judge_of(known)
    layer = network(config, len(known["features"]), judge.width, known["per"])
    outputs = make_outputs(layer, known["per"])
    data = on_demand(lambda: {split: ready(file, known) for split, file in parts().files.items()}, config, assets)
    longest = functools.cache(lambda: max(int(part.lengths.max()) for part in data().values()))

    def loss(params: PyTree, carry: PyTree, batch: Batch, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        mask = length_mask(batch.lengths, batch.xs.shape[0])
        _, ys = layer.apply(params, layer.carry(batch.lengths.shape, params), batch.xs, key=key, mask=mask)
        each = judge.loss(ys, batch.ys)
        if known["per"] == "step":
            each = jnp.where(mask, each, 0).sum(0)
        return (each * batch.share).mean(), ()

    def batch(seed: int, step: int) -> Batch:
        train = parts().places["train"]
        return padded(data()["train"], train[draw(len(train), config.batch, seed, step)], longest(), known["per"])

    def truth(split: str) -> np.ndarray:
        return labels(data()[split], parts().places[split], known["per"])

    def found(params: PyTree, split: str) -> tuple[np.ndarray, np.ndarray]:
        """What the network gives for every label of the split, and the labels."""
        return outputs(params, data()[split], parts().places[split]), truth(split)

    def finish(params: PyTree, directory: Path, console: Console) -> None:
        judge.picture(directory, console, *found(params, "test"))

    def file_judged(params: PyTree, path: Path) -> tuple[dict[str, float], Callable[[], dict[str, float]]]:
        part = ready(read(config, path, known, "data"), known)
        every = np.arange(len(part.lengths))
        wanted = labels(part, every, known["per"])
        return judge.scores(outputs(params, part, every), wanted), lambda: judge.anchors(wanted)

    def first(path: Path) -> np.ndarray:
        """The file's first sequence."""
        part = ready(read(config, path, known, "file", with_labels=False), known)
        return part.xs[: part.lengths[0]]

    def predict(params: PyTree, path: Path) -> Columns:
        raw = read(config, path, known, "data", with_labels=False)
        part = ready(raw, known)
        given = judge.columns(outputs(params, part, np.arange(len(part.lengths))))
        if known["per"] == "sequence":
            return {"sequence": raw.ids} | given
        steps = np.concatenate([np.arange(length) for length in part.lengths.tolist()])
        return {"sequence": np.repeat(raw.ids, part.lengths).tolist(), "step": steps.tolist()} | given

    return Problem(
        layer=layer,
        batch=batch,
        loss=loss,
        evaluate=lambda params, split: judge.scores(*found(params, split)),
        specs=Batch(P(None, AXIS), P(AXIS), P(None, AXIS) if known["per"] == "step" else P(AXIS), P(AXIS)),
        name=judge.name,
        unit=judge.unit,
        item="sequences",
        items=config.batch,
        example=lambda: padded(data()["valid"], parts().places["valid"][:1], longest(), known["per"]).xs[:, 0],
        made_up=lambda: made_up(20, len(known["features"])),
        probed=lambda: probed(data()["valid"], parts().places["valid"]),
        network=lambda config: network(config, len(known["features"]), judge.width, known["per"]),
        anchors=lambda split: judge.anchors(truth(split)),
        assets=known,
        sha256=lambda: sha256(*(a.tobytes() for part in data().values() for a in (part.xs, part.lengths, part.ys))),  # type: ignore
        finish=finish,
        read=first,
        predict=predict,
        evaluate_file=file_judged,
    )


# -- the data


def load(config: Sequences, assets: Mapping[str, Any] | None) -> Parts:
    """Raises ValueError where there is no such file, or too little in it for each part."""
    if config.data is None:
        raise ValueError(f"data: none given, wanted {WANTED}: --data FILE")
    first = read(config, config.data, assets, "data")
    files = {"train": first, "valid": first, "test": first}
    N = len(first.lengths)
    order = np.random.default_rng(0).permutation(N)  # the same parts for every seed
    n_test = 0 if config.test_data else int(N * config.test)
    n_valid = int(N * config.valid)
    if n_valid == 0 or (n_test == 0 and not config.test_data) or N - n_valid - n_test < 1:
        shares = f"valid is {config.valid}" + ("" if config.test_data else f" and test {config.test}")
        raise ValueError(f"data: {config.data} has {N} sequences, {shares}, wanted at least 1 in each part")
    places = {"train": order[n_valid + n_test :], "valid": order[:n_valid], "test": order[n_valid : n_valid + n_test]}
    if config.test_data:
        told = {"features": first.names, "per": first.per, "classes": None}
        files["test"] = read(config, config.test_data, told, "test_data")
        places["test"] = np.arange(len(files["test"].lengths))
    return Parts(files, places)


def kept(assets: Mapping[str, Any]) -> dict[str, Any]:
    """What an earlier run knew of its data."""
    names = kept_words(assets, "features")
    for name in ("mean", "std"):
        kept_numbers(assets, name, len(names))
    if assets["per"] not in ("sequence", "step"):
        raise ValueError("assets: per is neither sequence nor step")
    if assets["classes"] is None:
        known = {name: float(assets[name]) for name in ("label_mean", "label_std")}
    else:
        counts = kept_numbers(assets, "counts", len(kept_words(assets, "classes")))
        known = {"counts": counts.astype(int).tolist()}
    return dict(assets) | known


def read(
    config: Sequences, path: Path, known: Mapping[str, Any] | None, argument: str, with_labels: bool = True
) -> Labelled:
    """A file whose features are those of the run."""
    per, features = (known["per"], known["features"]) if known else (config.per, None)
    found = read_labelled(path, config.sequence, config.label, per, with_labels, argument, features)
    if features and found.names != features:
        raise ValueError(f"{argument}: {path} has the features {listed(found.names)}, the run has {listed(features)}")
    return found


def learn(found: Labelled, places: np.ndarray, config: Sequences) -> dict[str, Any]:
    """What a later command needs to know of the training data."""
    ys = found.ys
    assert ys is not None
    whole = ys.dtype.kind in "iubU" or bool((ys == np.round(ys)).all())
    kind = config.kind or ("classes" if whole else "numbers")
    if kind == "numbers" and ys.dtype.kind == "U":
        bad = next(n for n, y in enumerate(ys) if not is_float(y))
        raise ValueError(f"{found.where(bad)} is {short(str(ys[bad]))}, wanted a number for --kind numbers")
    starts = np.cumsum(found.lengths) - found.lengths
    steps = np.concatenate([starts[n] + np.arange(int(found.lengths[n])) for n in np.sort(places)])
    mean, std = mean_and_std(found.xs[steps])
    known = {"features": found.names, "per": found.per, "mean": mean.tolist(), "std": std.tolist(), "classes": None}
    seen = ys[steps if found.per == "step" else places]
    if kind == "classes":
        names = list(map(str, np.unique(ys))) if ys.dtype.kind == "U" else [named(y) for y in np.unique(ys)]
        if len(names) < 2:
            raise ValueError(f"{found.where(0)} and every other label is {names[0]!r}, wanted two classes or more")
        counts = [int((as_names(seen) == name).sum()) for name in names]
        return known | {"classes": names, "counts": counts}
    (mean,), (std,) = mean_and_std(seen.astype(np.float64)[:, None])
    return known | {"label_mean": float(mean), "label_std": float(std)}


def ready(found: Labelled, known: Mapping[str, Any]) -> Data:
    """Raises ValueError on a label that the training data have not."""
    xs = ((found.xs - np.array(known["mean"])) / np.array(known["std"])).astype(np.float32)
    ys = found.ys
    if ys is not None and known["classes"]:
        places = {name: place for place, name in enumerate(known["classes"])}
        names = as_names(ys)
        for n, name in enumerate(names):
            if name not in places:
                has = f"one of the {len(places)} classes of the training data: {listed(places)}"
                raise ValueError(f"{found.where(n)} is {short(str(name))}, wanted {has}")
        ys = np.array([places[name] for name in names], np.int32)
    elif ys is not None:
        if ys.dtype.kind == "U":
            bad = next(n for n, y in enumerate(ys) if not is_float(y))
            raise ValueError(f"{found.where(bad)} is {short(str(ys[bad]))}, wanted a number")
        ys = ((ys.astype(np.float64) - known["label_mean"]) / known["label_std"]).astype(np.float32)
    return Data(xs, np.cumsum(found.lengths) - found.lengths, found.lengths, ys)


def as_names(ys: np.ndarray) -> np.ndarray:
    return ys if ys.dtype.kind == "U" else np.array([named(y) for y in ys])


def named(y: Any) -> str:
    """A whole number's class is called as a person writes it, also where the file has 3.0."""
    return str(int(y)) if float(y).is_integer() else str(float(y))


def is_float(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def padded(data: Data, which: Int[np.ndarray, "batch"], T: int, per: str) -> Batch:
    """Sequences side by side, zeros where they have ended."""
    lengths = data.lengths[which]
    real = np.arange(T)[:, None] < lengths
    steps = np.where(real, data.starts[which] + np.arange(T)[:, None], 0)
    xs = np.where(real[..., None], data.xs[steps], np.float32(0))
    assert data.ys is not None
    if per == "sequence":
        return Batch(xs, lengths.astype(np.int32), data.ys[which], np.ones(len(which), np.float32))
    share = np.full(len(which), len(which) / lengths.sum(), np.float32)
    return Batch(xs, lengths.astype(np.int32), np.where(real, data.ys[steps], 0), share)


def labels(data: Data, which: np.ndarray, per: str) -> np.ndarray:
    """Of those sequences, one after the other."""
    assert data.ys is not None
    if per == "sequence":
        return data.ys[which]
    return np.concatenate([data.ys[data.starts[n] : data.starts[n] + data.lengths[n]] for n in which])


def probed(part: Data, places: Int[np.ndarray, "sequences"]) -> Probed:
    """The longest sequences, as far as the shortest of them goes; in the state, what they were before is looked for."""
    longest = places[np.argsort(-part.lengths[places], kind="stable")[:PROBED]]
    steps = np.arange(part.lengths[longest].min())[:, None]
    return Probed(part.xs[part.starts[longest] + steps], {})


# -- the network


def network(config: Sequences, n_in: int, n_out: int, per: str) -> Layer:
    """xs [T, *batch, n_in] -> [*batch, n_out], or of each step [T, *batch, n_out]."""
    policy = policy_of(config)
    layers, n = recurrent(config, n_in, policy, config.bidirectional)
    readout = dense(n, n_out, policy=policy)
    if per == "step":
        return stack(layers, readout)
    return mean_read(layers, readout) if config.bidirectional else last(stack(layers, readout))


def mean_read(layers: Layer, readout: Layer) -> Layer:
    """The readout of the mean over the real steps: both directions end at an end, the mean sees both."""

    def init(key: PRNGKeyArray) -> Params:
        key_l, key_r = jax.random.split(key)
        return Params(layers.init(key_l), readout.init(key_r))

    def carry(batch_shape: tuple[int, ...], params: Any = None) -> PyTree:
        return layers.carry(batch_shape, params and params.layers)

    def apply(params: Params, carry: PyTree, xs: Array, *, key=None, mask=None, reset=None) -> tuple[PyTree, Array]:
        carry, ys = layers.apply(params.layers, carry, xs, key=key, mask=mask, reset=reset)
        steps = xs.shape[0] if mask is None else mask.sum(0).clip(1).astype(ys.dtype)[..., None]
        return carry, readout.apply(params.readout, (), (ys.sum(0) / steps)[None])[1][0]

    return Layer(init, carry, apply, spec("mean_read", layers, readout))


def make_outputs(layer: Layer, per: str) -> Callable[[PyTree, Data, np.ndarray], np.ndarray]:
    """outputs(params, data, which): what the layer gives for each label, by pieces of similar lengths."""

    @jax.jit
    def piece(params: PyTree, xs: Array, lengths: Array) -> Array:
        mask = length_mask(lengths, xs.shape[0])
        return layer.apply(params, layer.carry(lengths.shape, params), xs, mask=mask)[1]

    def outputs(params: PyTree, data: Data, which: np.ndarray) -> np.ndarray:
        blank = data if data.ys is not None else data._replace(ys=np.zeros(max(len(data.xs), len(data.starts))))
        size, T = min(PIECE, len(which)), int(data.lengths.max())
        found = []
        for start in range(0, len(which), size):
            begin = min(start, len(which) - size)  # the last piece is whole too: what it has again is dropped
            batch = padded(blank, which[begin : begin + size], T, per)
            ys = np.asarray(piece(params, batch.xs, batch.lengths))
            new = range(start - begin, size)
            found += [ys[: batch.lengths[k], k] for k in new] if per == "step" else [ys[new.start :]]
        return np.concatenate(found)

    return outputs


def stand_in(folder: Path) -> dict[str, Any]:
    """A made-up file of the same format: which of two numbers came first, in sequences of 3 to 8 steps."""
    numbers = np.random.default_rng(0)
    lengths = numbers.integers(3, 9, 60)
    xs = numbers.normal(size=(60, 8, 2)).astype(np.float32)
    ys = np.where(xs[:, 0, 0] > xs[:, 0, 1], "falls", "rises")
    np.savez(folder / "sequences.npz", xs=xs, lengths=lengths, ys=ys)
    return {"data": folder / "sequences.npz"}


exportable(__name__)
