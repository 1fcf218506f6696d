"""Handwritten digits, read as sequences and named at their end.

By rows a picture of MNIST is 28 steps of 28 numbers; by pixels it is 784 steps of one, where what was seen first must
be kept for hundreds of steps (Le et al. 2015); shuffled, neighbours are far apart too. Pictures are numbers from 0 to
1. The last of those to learn from choose the weights; those of the test files are read once, when all is done.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, UInt8
from rich.console import Console

from jaxrnn import CELLS, Layer, checks, dense, last, stack
from jaxrnn.runner import plots
from jaxrnn.runner.assets import kept_numbers
from jaxrnn.runner.config import Seqmnist
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.draws import draw
from jaxrnn.runner.idx import read_idx
from jaxrnn.runner.judges import of_classes
from jaxrnn.runner.networks import policy_of, recurrent
from jaxrnn.runner.problem import Columns, Problem, on_demand, sha256
from jaxrnn.runner.users_files import UNPACK

CLASSES = 10
SPLITS = ("train", "valid", "test")
PIECE = 500  # pictures an evaluation reads at a time
LARGEST = 1000  # of an earlier run, pixels a side and brightness
SHOWN = 40  # pictures that were misread
FILES = {
    split: (f"{name}-images-idx3-ubyte", f"{name}-labels-idx1-ubyte")
    for split, name in {"train": "train", "test": "t10k"}.items()
}
WHERE = "they can be had from github.com/locuslab/TCN, folder TCN/mnist_pixel/data/mnist/raw"


class Pictures(NamedTuple):
    pixels: UInt8[np.ndarray, "N height width"]
    labels: Int[np.ndarray, "N"]


class Batch(NamedTuple):
    xs: Any  # [T, batch, n]
    ys: Any  # [batch]


def make(config: Seqmnist, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where the files are not what is wanted, or there is no such cell."""
    checks.choice("seqmnist", "cell", config.cell, CELLS)
    data = on_demand(lambda: load(config), config, assets)
    known = learn(data()["train"]) if assets is None else kept(assets)
    (height, width), white = known["size"], known["white"]
    order = order_of(config.order, height * width)
    judge = of_classes([str(k) for k in range(CLASSES)], known["counts"])
    n_in = width if config.order == "rows" else 1
    layer = network(config, n_in)
    outputs = make_outputs(layer, order, white)

    def batch(seed: int, step: int) -> Batch:
        pixels, labels = data()["train"]
        which = draw(len(labels), config.batch, seed, step)
        return Batch(sequences(pixels[which], white, order), labels[which])

    def loss(params: PyTree, carry: PyTree, batch: Batch, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        _, logits = layer.apply(params, layer.carry(batch.ys.shape, params), batch.xs, key=key)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.ys).mean(), ()

    def evaluate(params: PyTree, split: str) -> dict[str, float]:
        pixels, labels = data()[split]
        found = judge.scores(outputs(params, pixels), labels)
        return {"wrong": 100 * (1 - found["accuracy"]), "cross_entropy": found["cross_entropy"]}

    def anchors(split: str) -> dict[str, float]:
        labels = data()[split].labels
        return {"always the commonest": 100 * float((labels != np.argmax(known["counts"])).mean())}

    def own(path: Path) -> UInt8[np.ndarray, "N height width"]:
        pixels = read_idx(path, 3, "file")
        if list(pixels.shape[1:]) != [height, width] or not len(pixels):
            raise ValueError(f"file: {path} has pictures {list(pixels.shape)}, wanted [1 or more, {height}, {width}]")
        return pixels

    def predict(params: PyTree, path: Path) -> Columns:
        pixels = own(path)
        return {"picture": range(1, len(pixels) + 1)} | judge.columns(outputs(params, pixels))

    def finish(params: PyTree, directory: Path, console: Console) -> None:
        pixels, labels = data()["test"]
        ys = outputs(params, pixels)
        judge.picture(directory, console, ys, labels)
        draw_misread(directory / "misread.png", pixels, labels, ys.argmax(-1))

    return Problem(
        layer=layer,
        batch=batch,
        loss=loss,
        evaluate=evaluate,
        specs=Batch(P(None, AXIS), P(AXIS)),
        name="cross_entropy",
        unit="% wrong",
        item="pictures",
        items=config.batch,
        example=lambda: sequences(data()["valid"].pixels[:1], white, order)[:, 0],
        made_up=lambda: sequences(np.zeros((1, height, width), np.uint8), white, order)[:, 0],
        read=lambda path: sequences(own(path)[:1], white, order)[:, 0],
        network=lambda config: network(config, n_in),
        anchors=anchors,
        assets=known,
        sha256=lambda: sha256(*(array.tobytes() for split in SPLITS for array in data()[split])),
        finish=finish,
        predict=predict,
    )


# -- the data


def load(config: Seqmnist) -> dict[str, Pictures]:
    """The three parts. Raises ValueError where a file is missing or is not what its name says."""
    train, test = digits() if config.data is None else mnist(config.data)
    kept = len(train.labels) - int(len(train.labels) * config.valid)
    if kept == len(train.labels) or kept == 0:
        raise ValueError(f"valid: it is {config.valid} of {kept} pictures, wanted 1 or more in each part")
    return dict(zip(SPLITS, (cut(train, 0, kept), cut(train, kept, None), test), strict=True))


def learn(train: Pictures) -> dict[str, Any]:
    """What a later command needs to know of the data."""
    counts = np.bincount(train.labels, minlength=CLASSES).tolist()
    return {"size": list(train.pixels.shape[1:]), "white": int(train.pixels.max()), "counts": counts}


def kept(assets: Mapping[str, Any]) -> dict[str, Any]:
    """The same of an earlier run. Raises ValueError and others where it is not that."""
    *size, white = whole = [int(n) for n in (*kept_numbers(assets, "size", 2), assets["white"])]
    if not all(1 <= n <= LARGEST for n in whole):
        raise ValueError(f"assets: size and white are {whole}, wanted 1 to {LARGEST}")
    return {"size": size, "white": white, "counts": kept_numbers(assets, "counts", CLASSES).astype(int).tolist()}


def mnist(folder: Path) -> tuple[Pictures, Pictures]:
    train, test = (pictures(folder, *FILES[split]) for split in ("train", "test"))
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        sizes = " and ".join(f"{list(part.pixels.shape[1:])}" for part in (train, test))
        raise ValueError(f"data: {folder} has pictures {sizes} to learn from and to test, wanted them alike")
    return train, test


def pictures(folder: Path, images: str, labels: str) -> Pictures:
    pixels, ys = read_idx(find(folder, images), 3), read_idx(find(folder, labels), 1)
    if len(pixels) != len(ys) or not pixels.any():
        raise ValueError(f"data: {folder} has {list(pixels.shape)} in {images} and {len(ys):,} in {labels}")
    if ys.max() >= CLASSES:
        raise ValueError(f"data: {folder}: {labels} has {ys.max()} at {ys.argmax()}, wanted 0 to {CLASSES - 1}")
    return Pictures(pixels, ys.astype(np.int32))


def find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise ValueError(f"data: {folder} is no folder, wanted one with {name} and others; {WHERE}")
    for ending in ("", *UNPACK):
        if (path := folder / (name + ending)).exists():
            return path
    raise ValueError(f"data: {folder} has no {name}, nor packed as {', '.join(UNPACK)}; {WHERE}")


def digits() -> tuple[Pictures, Pictures]:
    """scikit-learn's; the last fifth, which other people wrote than the first ones, is the test part."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        way_out = 'or scikit-learn\'s digits: pip install "jaxrnn[experiments]"'
        raise ValueError(f"data: got none, wanted a folder with MNIST's files, {way_out}") from None
    found: Any = load_digits()
    every = Pictures(found.images.astype(np.uint8), found.target.astype(np.int32))
    kept = len(every.labels) * 4 // 5
    return cut(every, 0, kept), cut(every, kept, None)


def cut(part: Pictures, begin: int, end: int | None) -> Pictures:
    return Pictures(part.pixels[begin:end], part.labels[begin:end])


def order_of(order: str, pixels: int) -> Int[np.ndarray, "pixels"] | None:
    """In which pixels are read, by their places in a picture row after row; None where a step is a row."""
    if order == "rows":
        return None
    return np.random.default_rng(0).permutation(pixels) if order == "shuffled" else np.arange(pixels)


def sequences(
    pixels: UInt8[np.ndarray, "N height width"], white: int, order: Int[np.ndarray, "pixels"] | None
) -> Float[np.ndarray, "T N n"]:
    """A row a step, or a pixel."""
    scaled = pixels.astype(np.float32) / np.float32(white)
    if order is None:
        return np.moveaxis(scaled, 1, 0)
    return scaled.reshape(len(pixels), -1).T[order, :, None]


# -- the network


def network(config: Seqmnist, n_in: int) -> Layer:
    """xs [T, *batch, n_in] -> logits [*batch, 10]."""
    policy = policy_of(config)
    layers, n = recurrent(config, n_in, policy)
    return last(stack(layers, dense(n, CLASSES, policy=policy)))


def make_outputs(layer: Layer, order: Int[np.ndarray, "pixels"] | None, white: int) -> Callable[..., np.ndarray]:
    """outputs(params, pixels): the logits [N, 10] of pictures."""

    @jax.jit
    def piece(params: PyTree, xs: Array) -> Array:
        return layer.apply(params, layer.carry(xs.shape[1:2], params), xs)[1]

    def outputs(params: PyTree, pixels: UInt8[np.ndarray, "N height width"]) -> np.ndarray:
        found, size = [], min(PIECE, len(pixels))
        for start in range(0, len(pixels), size):
            begin = min(start, len(pixels) - size)  # the last piece is whole too: what it has again is dropped
            xs = sequences(pixels[begin : begin + size], white, order)
            found.append(np.asarray(piece(params, xs))[start - begin :])
        return np.concatenate(found)

    return outputs


def draw_misread(path: Path, pixels: np.ndarray, labels: np.ndarray, read: np.ndarray) -> None:
    """The first pictures that were taken for other digits."""
    wrong = np.flatnonzero(read != labels)[:SHOWN]
    if len(wrong):
        titles = [f"{a} read as {b}" for a, b in zip(labels[wrong], read[wrong], strict=True)]
        plots.gallery(path, pixels[wrong], titles)


def stand_in(folder: Path) -> dict[str, Any]:
    """Made-up files of the same format: bars at ten heights, some pixels wrong."""
    numbers, folder = np.random.default_rng(0), folder / "digits"
    folder.mkdir()
    for split, count in (("train", 60), ("test", 20)):
        labels = np.arange(count) % CLASSES
        bars = np.where(np.arange(CLASSES)[None, :, None] == labels[:, None, None], 200, 0)
        pixels = (bars + numbers.integers(50, size=(count, CLASSES, 6))).astype(np.uint8)
        for name, array in zip(FILES[split], (pixels, labels.astype(np.uint8)), strict=True):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / name).write_bytes(header + array.tobytes())
    return {"data": folder}
