"""Pictures of digits: what is read, in which order, and how the network's answers are judged."""

import gzip
import itertools

import jax
import numpy as np
import pytest

from jaxrnn.runner.config import Seqmnist
from jaxrnn.runner.idx import read_idx
from jaxrnn.runner.tasks import seqmnist


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("name", ["pictures", "pictures.gz"])
def test_a_file_is_read_as_it_was_written(name, tmp_path):
    (tmp_path / name).write_bytes(gzip.compress(idx(PIXELS)) if name.endswith("gz") else idx(PIXELS))
    assert (read_idx(tmp_path / name, 3) == PIXELS).all()


WRONG = {
    b"": "is empty (0 bytes), wanted an IDX file of unsigned bytes",
    b"\0\0": "begins with the bytes 00 00, wanted an IDX file",
    b"\x89PNG": "begins with the bytes 89 50 4e 47, wanted an IDX file",
    bytes([0, 0, 13, 3]): "begins with the bytes 00 00 0d 03, wanted an IDX file",  # floats
    idx(PIXELS[0]): "has 2 axes, wanted 3",
    idx(PIXELS)[:9]: "has 9 bytes, wanted 16 for [2, 0, 0]",
    idx(PIXELS)[:-1]: "has 39 bytes, wanted 40 for [2, 3, 4]",
    idx(PIXELS) + b"!": "has 41 bytes, wanted 40 for [2, 3, 4]",
    bytes([0, 0, 8, 3]) + b"\xff" * 12: "has 16 bytes, wanted",  # as many as no memory holds
}


@pytest.mark.parametrize("content", WRONG, ids=WRONG.values())
def test_another_file_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "pictures").write_bytes(content)
    with pytest.raises(ValueError, match=r"^data: ") as raised:
        read_idx(tmp_path / "pictures", 3)
    assert f"{tmp_path / 'pictures'} {WRONG[content]}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("missing", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_file_that_is_missing_is_named(missing, tmp_path):
    config = Seqmnist(**seqmnist.stand_in(tmp_path))
    assert config.data
    (config.data / missing).unlink()
    with pytest.raises(ValueError, match=f"^data: {config.data} has no {missing}, nor packed as .gz, .bz2, .xz; "):
        seqmnist.load(config)


def test_a_label_that_is_no_digit_and_labels_that_do_not_match_are_refused(tmp_path):
    config = Seqmnist(**seqmnist.stand_in(tmp_path))
    assert config.data
    labels = config.data / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(ValueError, match="train-labels-idx1-ubyte has 10 at 59, wanted 0 to 9"):
        seqmnist.load(config)
    labels.write_bytes(idx(np.zeros(59, np.uint8)))
    with pytest.raises(ValueError, match=r"has \[60, 10, 6\] in train-images-idx3-ubyte and 59 in train-labels"):
        seqmnist.load(config)


def test_the_parts_are_apart_and_the_last_pictures_choose_the_weights(tmp_path):
    data = seqmnist.load(Seqmnist(valid=0.25, **seqmnist.stand_in(tmp_path)))
    assert {split: len(part.labels) for split, part in data.items()} == {"train": 45, "valid": 15, "test": 20}
    every = np.concatenate([data["train"].pixels, data["valid"].pixels])
    assert (every == read_idx(tmp_path / "digits" / "train-images-idx3-ubyte", 3)).all()


def test_a_step_is_a_row_or_a_pixel_and_time_comes_first():
    rows, pixels, shuffled = (
        seqmnist.sequences(PIXELS, 23, seqmnist.order_of(order, 12)) for order in ("rows", "pixels", "shuffled")
    )
    assert (rows.shape, pixels.shape, shuffled.shape) == ((3, 2, 4), (12, 2, 1), (12, 2, 1))
    for n, t in itertools.product(range(2), range(3)):
        np.testing.assert_allclose(rows[t, n], PIXELS[n, t] / 23, rtol=1e-6)
    np.testing.assert_allclose(pixels[:, 1, 0], np.arange(12, 24) / 23, rtol=1e-6)
    assert (shuffled != pixels).any()
    assert (np.sort(shuffled, 0) == pixels).all()
    assert (np.diff(shuffled, axis=1) == np.diff(pixels, axis=1)[0]).all()  # the same for all pictures


@pytest.mark.parametrize("piece", [7, 500])
def test_the_judgement_counts_each_picture_once_however_it_is_cut(piece, monkeypatch, tmp_path):
    monkeypatch.setattr(seqmnist, "PIECE", piece)
    problem = seqmnist.make(Seqmnist(cell="elman", units=3, **seqmnist.stand_in(tmp_path)))
    params = jax.tree.map(lambda a: 3 * a, problem.layer.init(jax.random.key(0)))
    ((cell, _), out) = params
    test = seqmnist.load(Seqmnist(data=tmp_path / "digits"))["test"]
    wrong, nats = 0, 0.0
    for picture, label in zip(test.pixels, test.labels, strict=True):
        h = np.zeros(3)
        for row in picture / problem.assets["white"]:
            h = np.tanh(row @ np.asarray(cell.w_x) + h @ np.asarray(cell.w_h) + np.asarray(cell.b))
        logits = h @ np.asarray(out.w) + np.asarray(out.b)
        wrong += logits.argmax() != label
        nats += np.log(np.exp(logits).sum()) - logits[label]
    found = problem.evaluate(params, "test")
    assert found["wrong"] == pytest.approx(100 * wrong / 20)
    assert found["cross_entropy"] == pytest.approx(nats / 20, rel=1e-6)


def test_a_row_of_a_table_for_each_picture_of_a_file(tmp_path):
    problem = seqmnist.make(Seqmnist(cell="elman", units=3, **seqmnist.stand_in(tmp_path)))
    params = problem.layer.init(jax.random.key(0))
    assert problem.predict is not None
    columns = problem.predict(params, tmp_path / "digits" / "t10k-images-idx3-ubyte")
    assert [len(list(column)) for column in columns.values()] == [20, 20, 20]
    (tmp_path / "other").write_bytes(idx(PIXELS))
    with pytest.raises(ValueError, match=r"^file: .*other has pictures \[2, 3, 4\], wanted \[1 or more, 10, 6\]$"):
        problem.predict(params, tmp_path / "other")


def test_scikit_learns_digits_need_no_file():
    data = seqmnist.load(Seqmnist())
    assert [len(part.labels) for part in data.values()] == [1318, 119, 360]
    assert max(part.pixels.max() for part in data.values()) == 16


def test_a_picture_is_alone_what_it_is_among_others():
    layer = seqmnist.network(Seqmnist(cell="gru", units=3), 1)
    params = layer.init(jax.random.key(0))
    outputs = seqmnist.make_outputs(layer, np.arange(12), 23)
    np.testing.assert_allclose(outputs(params, PIXELS)[1:], outputs(params, PIXELS[1:]), rtol=1e-5)
