"""A long run holds no more memory than a short one, and compiles its step once."""

import json
import sys

import numpy as np
import pytest

from jaxrnn.runner.tasks.sequences import stand_in


def weighed(start, log, every, *words):
    child = start(*words, mishap=("weighed", str(log), every))
    assert child.wait(280) == 0, child.said()
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_step_is_compiled_once_where_batches_do_not_fit_the_data(start, tmp_path):
    """60 sequences of 3 to 8 steps, 44 to train on, in batches of 16."""
    data = stand_in(tmp_path)["data"]
    words = ("train", "sequences", "--data", data, "--out", tmp_path / "run", "--units", 4)
    found = weighed(start, tmp_path / "log", 1, *words, "--steps", 16, "--evaluate-every", 5)
    assert [line["step"] for line in found] == list(range(1, 17))
    assert found[-1]["compiled"].count("jit(update)") == 1
    assert len(found[-1]["compiled"]) == len(found[5]["compiled"])  # nothing after the first step and the first look


@pytest.mark.heavy
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ten_thousand_steps_hold_what_two_thousand_held(start, tmp_path):
    """With looks, saves and a bar of progress; in means of 1000 steps, as the allocator gives and takes."""
    words = ("train", "counting", "--steps", 10_000, "--evaluate-every", 500, "--checkpoint-every", 500)
    found = weighed(start, tmp_path / "log", 10, *words, "--out", tmp_path / "run")
    held = np.array([line["bytes"] for line in found]).reshape(10, 100).mean(1)
    growth = held[-1] / held[1] - 1
    print(f"memory: {held / 2**20} MiB, growth {growth:.3%}")
    assert growth < 0.01
    assert found[-1]["compiled"].count("jit(update)") == 1
