"""A damaged checkpoint is never restored as if it were whole: the newest intact one is, and the others are named."""

import random
import shutil

import numpy as np
import pytest

from jaxrnn.runner.checkpoint import checkpoints, digests_of, restore, save
from reliability.saver import trees


def flip(path, draws):
    data = bytearray(path.read_bytes())
    data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
    path.write_bytes(data)


def truncate(path, draws):
    path.write_bytes(path.read_bytes()[: draws.randrange(path.stat().st_size)])


def zero(path, draws):
    size = path.stat().st_size
    start = draws.randrange(size)
    data = bytearray(path.read_bytes())
    data[start : start + 16] = bytes(len(data[start : start + 16]))
    path.write_bytes(data)


def delete(path, draws):
    path.unlink()


DAMAGE = {function.__name__: function for function in (flip, truncate, zero, delete)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Steps 4 and 8."""
    directory = tmp_path_factory.mktemp("run")
    with checkpoints(directory) as manager:
        for step in (4, 8):
            save(manager, step, **trees(step))
    return directory


def files_of(step):
    return sorted(path for path in step.rglob("*") if path.is_file() and path.stat().st_size)


def is_right(found):
    """Bit for bit what was saved at the step it says, and the ones passed over are named with reasons."""
    right = {name: digests_of(tree) for name, tree in trees(found.step).items()}
    assert {name: digests_of(tree) for name, tree in found.trees.items()} == right
    assert found.skipped.keys() == ({8} if found.step == 4 else set())
    assert all(found.skipped.values())
    assert not any("\n" in why for why in found.skipped.values())


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(1, 40))])
@pytest.mark.parametrize("damage", DAMAGE)
def test_no_damage_to_any_file_goes_unnoticed(damage, seed, run, tmp_path, capfd):
    """Each file of a step in turn, twice, by four kinds of damage: 160 copies."""
    draws, skipped = random.Random(f"{damage} {seed}"), 0
    names = [path.relative_to(run) for path in files_of(run / "checkpoints" / "8")]
    assert len(names) >= 15
    for k, name in enumerate(2 * names):
        copy = tmp_path / str(k)
        shutil.copytree(run, copy)
        DAMAGE[damage](copy / name, draws)
        found = restore(copy, **trees(0))
        is_right(found)
        skipped += len(found.skipped)
        shutil.rmtree(copy)
    assert skipped > len(names) / 4
    assert capfd.readouterr() == ("", "")


def test_where_none_is_intact_all_are_named(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for step in ("4", "8"):
        for path in (copy / "checkpoints" / step / "params").rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^run: no checkpoint of .* is intact: step 8: .*; step 4: [^\n]*$"):
        restore(copy, **trees(0))


def test_another_versions_checkpoint_is_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxrnn.runner.checkpoint.FORMAT", 2)
    with checkpoints(tmp_path) as manager:
        save(manager, 4, **trees(4))
    monkeypatch.undo()
    words = r"step 4: written by another version of jaxrnn: its format is 2, this one reads 1$"
    with pytest.raises(ValueError, match=rf"^run: {tmp_path}: {words}"):
        restore(tmp_path, **trees(0))


def test_a_reader_leaves_a_save_that_is_going_on_alone(run):
    """What another process is writing just now looks like what a killed one has left."""
    writing = run / "checkpoints" / "12.orbax-checkpoint-tmp"
    writing.mkdir()
    assert restore(run, **trees(0)).step == 8
    assert writing.is_dir()
    writing.rmdir()


@pytest.mark.parametrize("like", ["shape", "name", "more", "fewer"])
def test_arrays_of_another_network_are_told_by_name(like, run):
    other = trees(0)
    w = other["params"]["w"]
    if like == "shape":
        other["params"]["w"] = np.zeros((5, 4), w.dtype)
    if like in ("name", "fewer"):
        del other["params"]["w"]
    if like in ("name", "more"):
        other["params"]["v"] = w
    with pytest.raises(ValueError, match=r"params\['[wv]'\] is (float32\[5, 3\], wanted|not)"):
        restore(run, **other)
