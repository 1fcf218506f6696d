"""A run without its data, as on another machine: it predicts and shows its shapes, and says what is not there.

tests/commands has what the commands make of it.
"""

import dataclasses
import json
import shutil
import tarfile

import jax
import numpy as np
import pytest

from jaxrnn.runner.problem import DataGone
from jaxrnn.runner.tasks import TASKS

TRAINED_ON_FILES = ("text", "series", "sequences", "polymusic", "speech", "translate", "seqmnist", "tagging")


@pytest.mark.parametrize("name", TRAINED_ON_FILES)
def test_a_problem_is_remade_without_its_data(name, tmp_path):
    task = TASKS[name]
    made = task.stand_in(tmp_path)
    if name == "text":
        made = {"data": tmp_path / "book.txt"}
        made["data"].write_text("It was the best of times, it was the worst of times.\n" * 20)
    config = dataclasses.replace(task.config(), **task.config.SMOKE | {"batch": 2, "units": 3} | made)
    own = None if name == "polymusic" else file_of(name, made["data"], tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        before = task.make(config)
        real = None if before.example is None else np.asarray(before.example())
        made["data"].rename(tmp_path / "elsewhere")
        after = task.make(config, json.loads(json.dumps(before.assets)))
        params = after.layer.init(jax.random.key(0))
        shapes = jax.eval_shape(before.layer.init, jax.random.key(0))
        assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
        assert (after.name, after.unit, after.splits) == (before.name, before.unit, before.splits)
        assert json.dumps(after.assets) == json.dumps(before.assets)
        if after.predict:
            assert all(map(len, after.predict(params, own).values()))
        if real is not None:
            like = np.asarray(after.made_up())
            assert (like.dtype, like.shape[1:]) == (real.dtype, real.shape[1:])
        needs = [lambda: after.batch(0, 0), lambda: after.evaluate(params, "test"), after.sha256, after.example]
        for use in filter(None, needs):
            with pytest.raises(DataGone, match=f"^data: {made['data']} is not there$"):
                use()


def file_of(name, data, folder):
    """A file of the user's own, of the kind that the task predicts from."""
    if name == "speech":
        with tarfile.open(data) as tar:
            member = tar.extractfile("recordings/7_someone_11.wav")
            assert member
            (folder / "own").write_bytes(member.read())
        return folder / "own"
    if name == "seqmnist":
        return shutil.copy(data / "t10k-images-idx3-ubyte", folder / "own")
    if name == "tagging":
        (folder / "own").write_text("go from ulm to rome\n")
        return folder / "own"
    return shutil.copy(next(data.glob("val.*de")) if data.is_dir() else data, folder / f"own{data.suffix}")
