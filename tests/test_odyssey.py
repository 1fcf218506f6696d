"""Of a sweep over variants of the LSTM, the trial of each that counts."""

import json

import pytest

from experiments import odyssey


def trial(sweep, number, cell, rate, valid):
    record = {key: None for key in ("task", "seed", "best", "anchors", "data_sha256", "git", "versions", "device")}
    record |= {"status": "completed", "command": ["jaxrnn", "sweep"], "started": "now", "seconds": 1.0, "parameters": 5}
    record |= {"config": {"cell": cell, "rate": rate}}
    record |= {"metrics": {"valid_nll": valid, "test_nll": 1 + valid, "test_nll_by_seed": [valid, 2 + valid]}}
    folder = sweep / f"{number:03d}"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record))


@pytest.fixture
def sweep(tmp_path):
    for k, cell in enumerate(odyssey.VARIANTS):
        trial(tmp_path, 2 * k, cell, 0.1, 9.0)
        trial(tmp_path, 2 * k + 1, cell, 0.2, 8.0 + k % 2 * 2)
    return tmp_path


def test_the_best_on_the_validation_part_counts(sweep):
    found = odyssey.best_of(sweep)
    assert list(found) == list(odyssey.VARIANTS)
    assert [of["config"]["rate"] for of in found.values()] == [0.2, 0.1] * 4 + [0.2]


def test_a_sweep_without_one_of_them_is_refused(sweep):
    (sweep / "002" / "run.json").unlink()
    (sweep / "003" / "run.json").unlink()
    with pytest.raises(ValueError, match="has no run of lstm_nig"):
        odyssey.best_of(sweep)


def test_the_picture_is_drawn(sweep, tmp_path):
    odyssey.draw(odyssey.told(odyssey.best_of(sweep), "command")["variants"], tmp_path / "odyssey.png")
    assert (tmp_path / "odyssey.png").stat().st_size > 10_000
