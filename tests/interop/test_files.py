"""Params survive a file, and a file that does not fit is refused in one line."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.interop import load, save

SUFFIXES = (".npz", ".safetensors")
LAYER = jaxrnn.stack(
    jaxrnn.bidirectional(jaxrnn.unroll(jaxrnn.gru(2, 3)), jaxrnn.unroll(jaxrnn.gru(2, 3, form="before"), reverse=True)),
    jaxrnn.dropout(0.5),
    jaxrnn.unroll(jaxrnn.lstm(6, 2, peepholes="diagonal")),
)
LIKE = jax.eval_shape(LAYER.init, jax.random.key(0))
PARAMS = jax.tree.map(lambda a: jnp.arange(a.size, dtype=a.dtype).reshape(a.shape), LIKE)

suffixes = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.fixture(autouse=True)
def safetensors(request):
    if ".safetensors" in request.node.name:
        pytest.importorskip("safetensors", reason="the extra `peers` brings safetensors")


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        np.testing.assert_array_equal(x, y)


@suffixes
def test_params_come_back_as_they_were(suffix, tmp_path):
    save(tmp_path / f"a{suffix}", PARAMS)
    same(load(tmp_path / f"a{suffix}", LIKE), PARAMS)
    assert [file.name for file in tmp_path.iterdir()] == [f"a{suffix}"]


@suffixes
def test_every_shape_and_dtype_comes_back(suffix, tmp_path):
    tree = {
        "file": jnp.ones(1),
        "scalar": jnp.float32(2),
        "empty": jnp.zeros((0, 3)),
        "whole": jnp.arange(3),
        "flag": jnp.array([True]),
    }
    tree |= {"half": jnp.ones(2, jnp.float16), "turned": np.arange(6.0).reshape(2, 3).T}
    tree |= {"brain": jnp.ones((2, 1), jnp.bfloat16)} if suffix == ".safetensors" else {}
    save(tmp_path / f"a{suffix}", tree)
    same(load(tmp_path / f"a{suffix}", tree), tree)


def test_names_are_the_places_in_the_tree(tmp_path):
    save(tmp_path / "a.npz", PARAMS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file.files[:4] == ["0.forward.w_x", "0.forward.w_h", "0.forward.b", "0.forward.b_n"]
        assert file.files[-3:] == ["2.peepholes.i", "2.peepholes.f", "2.peepholes.o"]
    save(tmp_path / "b.npz", jnp.ones(2))
    same(load(tmp_path / "b.npz", jnp.ones(2)), jnp.ones(2))


@suffixes
@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"a": jnp.ones(2)}, "load: a{0} has also b; like names a"),
        ({"a": jnp.ones(2), "c": jnp.ones(2)}, "load: a{0} lacks c and has also b; like names a, c"),
        (
            {"a": jnp.ones(2), "b": jnp.ones((2, 1))},
            "load: b in a{0} is float64[2], wanted float64[2, 1] as in like",
        ),
        (
            {"a": jnp.ones(2), "b": jnp.ones(2, jnp.float32)},
            "load: b in a{0} is float64[2], wanted float32[2] as in like",
        ),
        ({"a": jnp.ones(2), "b": 3}, "load: like.b is 3, wanted an array"),
    ],
)
def test_what_does_not_fit_is_refused(suffix, like, message, tmp_path):
    save(tmp_path / f"a{suffix}", {"a": jnp.ones(2), "b": jnp.ones(2)})
    refused(message.format(suffix), lambda: load(tmp_path / f"a{suffix}", like))


@suffixes
def test_what_is_no_file_of_its_kind_is_refused(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    refused(f"load: there is no file {path}", lambda: load(path, LIKE))
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=f"^load: a{suffix} is not a whole {suffix} file"):
        load(path, LIKE)


def test_an_npz_with_pickled_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"^load: a\.npz is not a whole \.npz file \(Object arrays"):
        load(tmp_path / "a.npz", {"a": jnp.ones(2)})


@pytest.mark.parametrize(
    ("name", "tree", "message"),
    [
        ("a.pt", {}, "save: path is 'a.pt', wanted a name that ends in .safetensors or .npz"),
        ("a.npz", {"a": "x"}, "save: params.a is 'x', wanted an array"),
        ("a.npz", {"a": jax.random.key(0)}, "save: params.a is key<fry>[], wanted an array of numbers"),
        ("a.npz", {"a": LIKE[0].forward.b}, "save: params.a is float64[9], wanted an array of numbers"),
        (
            "a.npz",
            {"a": jnp.ones(2, jnp.bfloat16)},
            "save: params.a is bfloat16, which .npz does not have; .safetensors has it",
        ),
        (
            "a.npz",
            {"a": {"b": jnp.ones(1)}, "a.b": jnp.ones(1)},
            "save: params has two arrays of the name a.b, wanted keys without dots",
        ),
    ],
)
def test_what_cannot_be_saved_is_refused(name, tree, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(message, lambda: save(name, tree))
    assert not list(tmp_path.iterdir())


def test_without_safetensors_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"^\.safetensors needs `pip install safetensors`; \.npz needs nothing$"):
        save(tmp_path / "a.safetensors", PARAMS)
    assert not list(tmp_path.iterdir())


def refused(message, call):
    with pytest.raises(ValueError, match=r"^(load|save): [^\n]+$") as error:
        call()
    assert str(error.value) == message
