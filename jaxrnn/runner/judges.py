"""How outputs are compared with labels: classes by cross-entropy and accuracy, numbers by squared error."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optax
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from jaxrnn.runner import plots


class Judge(NamedTuple):
    """Of a network's outputs ys [labels, width] and the labels: places among classes, or standardised numbers."""

    width: int
    name: str  # of the loss, the first of the scores
    unit: str
    loss: Callable[[Array, Array], Array]  # of each label
    scores: Callable[[np.ndarray, np.ndarray], dict[str, float]]
    anchors: Callable[[np.ndarray], dict[str, float]]  # labels -> the first score of something that learns nothing
    columns: Callable[[np.ndarray], dict[str, list[Any]]]  # ys -> what a person reads
    picture: Callable[[Path, Console, np.ndarray, np.ndarray], None]


def of_classes(classes: list[str], counts: list[int]) -> Judge:
    """`counts` says how many of each class the train part has."""
    n, seen = len(classes), np.array(counts)
    most = int(seen.argmax())

    def scores(ys: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return {
            "cross_entropy": float(-log_softmax(ys)[np.arange(len(labels)), labels].mean()),
            "accuracy": float((ys.argmax(-1) == labels).mean()),
            "accuracy_of_the_commonest_class": float((labels == most).mean()),
        }

    def anchors(labels: np.ndarray) -> dict[str, float]:
        shares = (seen + 1) / (seen + 1).sum()  # one more each: none is impossible
        return {"by the share of each class": float(-np.log(shares[labels]).mean())}

    def columns(ys: np.ndarray) -> dict[str, list[Any]]:
        chances = np.exp(log_softmax(ys))
        return {
            "label": [classes[k] for k in ys.argmax(-1)],
            "probability": [round(chance, 6) for chance in chances.max(-1).tolist()],
        }

    def picture(directory: Path, console: Console, ys: np.ndarray, labels: np.ndarray) -> None:
        matrix = np.zeros((n, n), int)
        np.add.at(matrix, (labels, ys.argmax(-1)), 1)
        plots.confusion(directory / "confusion.png", classes, matrix)
        shown = Table("class", "in train", "in test", "of these found", "of those said, right")
        for k in np.argsort(-seen, kind="stable")[:20]:
            right, true, said = matrix[k, k], matrix[k].sum(), matrix[:, k].sum()
            rates = (f"{right / count:.1%}" if count else "none" for count in (true, said))
            shown.add_row(classes[k], f"{seen[k]:,}", f"{true:,}", *rates)
        console.print(shown)

    loss = optax.softmax_cross_entropy_with_integer_labels
    return Judge(n, "cross_entropy", "nats a label", loss, scores, anchors, columns, picture)


def of_numbers(mean: float, std: float) -> Judge:
    """`mean` and `std` are those of the train part's labels."""

    def scores(ys: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        off = ys[:, 0].astype(np.float64) - labels
        mse, mae = float((off**2).mean()), float(abs(off).mean())
        return {"mse": mse, "mae": mae, "mse_in_own_units": mse * std**2, "mae_in_own_units": mae * std}

    def anchors(labels: np.ndarray) -> dict[str, float]:
        """The mean, which standardised is 0."""
        return {f"always the mean, {mean:.4g}": float((labels.astype(np.float64) ** 2).mean())}

    def columns(ys: np.ndarray) -> dict[str, list[Any]]:
        return {"label": (ys[:, 0].astype(np.float64) * std + mean).tolist()}

    def picture(directory: Path, console: Console, ys: np.ndarray, labels: np.ndarray) -> None:
        truth, found = (values.astype(np.float64) * std + mean for values in (labels, ys[:, 0]))
        plots.against(directory / "labels.png", "label", truth, found)

    def loss(ys: Array, labels: Array) -> Array:
        return optax.squared_error(ys[..., 0], labels)

    return Judge(1, "mse", "of standardised labels", loss, scores, anchors, columns, picture)


def judge_of(known: Mapping[str, Any]) -> Judge:
    """By what is known of the training data's labels."""
    if known["classes"]:
        return of_classes(known["classes"], known["counts"])
    return of_numbers(known["label_mean"], known["label_std"])


def log_softmax(ys: np.ndarray) -> Float[np.ndarray, "labels classes"]:
    ys = ys.astype(np.float64) - ys.max(-1, keepdims=True)
    return ys - np.log(np.exp(ys).sum(-1, keepdims=True))
