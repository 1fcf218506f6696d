"""What `jaxrnn inspect` leaves: a report, and for every picture its numbers; and the labels of a text."""

import json

import jax
import numpy as np
import pytest

from jaxrnn.analysis.fixed_points import FixedPoints
from jaxrnn.cli import main
from jaxrnn.runner.inspection import reading, rests

pytestmark = pytest.mark.xdist_group("inspect")
BOOK = 'It was the "best" of times (so he said), it was\nthe worst of times.\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny text run and a tiny flip-flop, trained in this process."""
    folder = tmp_path_factory.mktemp("inspected")
    (folder / "book.txt").write_text(BOOK * 40)
    tiny = ["--steps", "10", "--evaluate-every", "5", "--batch", "2", "--units"]
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        told = ["--data", str(folder / "book.txt"), "--valid", "0.2", "--embedding", "4", "--length", "8"]
        main(["train", "text", "--out", str(folder / "text"), *told, *tiny, "6", "--seeds", "3", "4"])
        main(["train", "flipflop", "--out", str(folder / "flipflop"), "--length", "20", *tiny, "4"])
    return folder


def inspected(*arguments):
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        main(["inspect", *map(str, arguments)])


def check(out):
    report = (out / "report.md").read_text()
    pictures = {path.stem for path in out.glob("*.png")}
    assert pictures == {path.stem for path in out.glob("*.json")}
    assert all(f"({name}.png)" in report for name in pictures)
    return report, pictures, {name: json.loads((out / f"{name}.json").read_text()) for name in pictures}


def test_a_text_is_seen_through(folder):
    out = folder / "seen"
    inspected(folder / "text", "--text", BOOK, "--steps", 30, "--member", 1, "-o", out)
    report, pictures, data = check(out)
    assert "its best weights, seed 4." in report
    assert all(numbers["title"].endswith(", seed 4") for numbers in data.values())
    assert pictures >= {"states_1", "gates_1", "saliency", "tracking", "state_space", "gradients", "costs"}
    assert "inside quotes" in report
    assert data["states_1"]["ticks"][:6] == ["I", "t", "\u2423", "w", "a", "s"]
    assert np.shape(data["saliency"]["many"])[1] == 30
    with pytest.raises(SystemExit):
        inspected(folder / "text", "-o", out)


@pytest.mark.heavy  # tests/analysis/test_fixed_points.py finds the states themselves
def test_where_a_flip_flop_rests_is_looked_for(folder):
    inspected(folder / "flipflop")
    report, pictures, _ = check(folder / "flipflop" / "inspect")
    assert "fixed_points" in pictures or "no fixed or slow point" in report
    with pytest.raises(SystemExit):
        inspected(folder / "flipflop", "--text", "a", "-o", folder / "never")
    assert not (folder / "never").exists()


@pytest.mark.heavy  # tests/tasks/test_cerg.py reads such inputs
def test_symbols_that_a_network_reads_as_they_are_are_traced_back_to(tmp_path):
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        main(
            [
                "train",
                "cerg",
                "--steps",
                "4",
                "--evaluate-every",
                "2",
                "--stream",
                "300",
                "--out",
                str(tmp_path / "run"),
            ]
        )
    inspected(tmp_path / "run")
    assert "saliency" in check(tmp_path / "run" / "inspect")[1]


def test_labels_of_a_text():
    text = 'a "b" (c)\n  D1'
    found = {
        name: "".join("01"[int(x)] for x in label)
        for name, label in reading.labels(text).items()
        if label.dtype == bool
    }
    assert found["inside quotes"] == "00110000000000"[: len(text)]
    assert found["inside brackets"] == "00000011000000"
    assert found["line is indented"] == "00000000000111"
    assert found["capital letter"] == "00000000000010"
    numbers = {name: label.tolist() for name, label in reading.labels(text).items() if label.dtype != bool}
    assert numbers["place in line"] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    assert numbers["place in word"] == [1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]


def test_a_point_at_which_the_state_only_creeps_is_not_called_stable():
    eigenvalues = np.array([[0.5], [1.5], [0.9]])
    found = FixedPoints(np.zeros((3, 1)), np.array([0.0, 0.0, 1e-6]), eigenvalues, np.array([9, 1, 5]))
    said = rests.told(found, np.zeros((3, 2)))
    assert "1 stable, which hold what the network remembers, and 1 that it leaves" in said
    assert "At 1 more it only creeps." in said
