"""What --smoke trains on where no data are given is a file as the task wants it."""

import dataclasses
import itertools

import jax
import pytest

from jaxrnn.runner.config import Trained
from jaxrnn.runner.tasks import TASKS


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if issubclass(task.config, Trained)])
def test_a_stand_in_is_read_and_gives_batches(name, tmp_path):
    task = TASKS[name]
    made = task.stand_in(tmp_path)
    assert all(path.parent == tmp_path and path.exists() for path in made.values())
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        problem = task.make(dataclasses.replace(task.config(), **task.config.SMOKE | made))
        shapes = [jax.tree.map(lambda leaf: leaf.shape, problem.batch(0, step)) for step in range(5)]
    assert all(a == b for a, b in itertools.pairwise(shapes))  # one program for all steps
