"""The curve of success against length: its problem, its criterion, and a tiny run from end to end."""

import json

import jax
import numpy as np
import pytest

from experiments import temporal_order
from experiments.gradient_flow import batch


def test_the_class_is_the_order_of_the_two_marks():
    xs, which = map(np.array, batch(jax.random.key(0), 30, 50))
    assert xs.shape == (30, 50, 6)
    for sequence, label in zip(xs.argmax(-1).T, which, strict=True):
        places = np.flatnonzero(sequence >= 4)
        assert len(places) == 2
        assert 3 <= places[0] <= 6
        assert 12 <= places[1] <= 15
        assert label == 2 * (sequence[places[0]] - 4) + sequence[places[1]] - 4


def test_who_is_once_below_1_per_cent_has_solved_it():
    found = temporal_order.told(np.array([[0.5, 0.009, 0.4], [0.5, 0.01, 0.3]]))
    assert found["solved"] == [True, False]
    assert found["updates_until_then"] == [2 * temporal_order.BETWEEN_LOOKS, None]
    assert found["least_share_wrong"] == [0.009, 0.01]


def test_the_best_rate_solves_most_then_soonest():
    def of(*updates):
        return {
            "solved": [k is not None for k in updates],
            "updates_until_then": list(updates),
            "least_share_wrong": [0.5] * len(updates),
        }

    assert temporal_order.best({0.1: of(1000, None), 0.2: of(3000, 4000), 0.3: of(3000, 2000)}) == 0.3


@pytest.mark.heavy
def test_a_tiny_run_writes_its_result_and_picture(tmp_path, monkeypatch):
    tiny = {"LENGTHS": (10,), "TRIED_AT": 10, "UPDATES": 2, "BETWEEN_LOOKS": 1, "RATES": (0.1,), "TESTED": 20}
    for name, value in {**tiny, "SEEDS": (0, 1), "TRIED_SEEDS": (2, 3), "RESULTS": tmp_path}.items():
        monkeypatch.setattr(temporal_order, name, value)
    with jax.numpy_dtype_promotion("standard"):
        temporal_order.main()
    result = json.loads((tmp_path / "temporal_order.json").read_text())
    assert result["rates"]["chosen"] == {"SGD": 0.1, "SGD-C": 0.1, "SGD-CR": 0.1}
    ways = result["by_length"]["10"]
    assert set(ways) == {"SGD", "SGD-C", "SGD-CR"}
    assert all(len(of["solved"]) == 2 for of in ways.values())
    assert (tmp_path / "temporal_order.png").read_bytes().startswith(b"\x89PNG")
