"""The table of contents: what it lists is there, nothing is imported before it is used, and nothing is left out."""

import importlib.util
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn.interop
from jaxrnn import lstm, unroll
from jaxrnn.interop import nets
from jaxrnn.types import Cell, Layer, Spec

from .comparing import made, refused

FRAMEWORKS = ("equinox", "flax", "haiku", "keras", "onnx", "safetensors", "torch")
HOMES = {"haiku": "haiku", "linen": "flax", "nnx": "flax", "cudnn": "jax", "load": "jax", "save": "jax"}


def test_importing_it_imports_no_framework():
    program = (
        f"import jaxrnn.interop as i, sys; i.save; i.to_cudnn; print([f for f in {FRAMEWORKS} if f in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", [name for name in dir(jaxrnn.interop) if name not in ("from_keras", "to_keras")])
def test_every_name_is_there(name: str):  # but for Keras, which asks for its backend first
    framework = name.rpartition("_")[2]
    if importlib.util.find_spec(HOMES.get(framework, framework)) is None:
        pytest.skip(f"{framework} is not installed")
    assert callable(getattr(jaxrnn.interop, name))


def test_a_name_it_has_not_and_a_framework_that_is_missing(monkeypatch):
    with pytest.raises(AttributeError, match=r"^module 'jaxrnn\.interop' has no attribute 'from_caffe'$"):
        _ = jaxrnn.interop.from_caffe
    monkeypatch.delitem(sys.modules, "jaxrnn.interop.haiku", raising=False)
    monkeypatch.setitem(sys.modules, "haiku", None)
    with pytest.raises(ImportError, match=r"^from_haiku needs `pip install dm-haiku`"):
        _ = jaxrnn.interop.from_haiku


def test_help_shows_what_is_installed_and_stumbles_over_nothing_else(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("tensorflow", "torch") else find(name)
    )
    shown = dir(jaxrnn.interop)
    assert {"save", "to_cudnn"} <= set(shown)
    assert {"from_keras", "from_torch"}.isdisjoint(shown)


def read(layer, params=None):
    return nets.read("to_test", "Test", layer, made(layer) if params is None else params, lstm=(None,))


def changed(cell, **options):
    """The cell with more in its spec."""
    return cell._replace(spec=cell.spec._replace(options=(*cell.spec.options, *options.items())))


def test_what_a_spec_says_and_no_framework_knows_is_refused():
    cell = lstm(3, 4)
    refused("to_test: Test's lstm has no leak=0.5", read, unroll(changed(cell, leak=0.5)))
    wrapped = cell._replace(spec=Spec("zoneout", (), (cell.spec or Spec("custom"),)))
    refused("to_test: Test has no zoneout; it has lstm", read, unroll(wrapped))
    own = Cell(cell.init, cell.carry, cell.project, cell.step)
    refused("to_test: Test has no custom; it has lstm", read, unroll(own))
    layer = unroll(cell)
    bare = Layer(layer.init, layer.carry, layer.apply)
    refused("to_test: Test's recurrent layers have no custom; wanted unroll(cell), perhaps in a stack", read, bare)
    refused("to_test: layer is a Cell, wanted a Layer", read, cell, ())


def test_params_that_are_not_those_of_the_layer_are_refused():
    layer = unroll(lstm(3, 4))
    wrong = made(layer)._replace(b=jnp.zeros(3))
    message = "to_test: params.b is float64[3], wanted [16]; layer.init(key) makes them"
    refused(message, read, layer, wrong)


def test_float64_is_not_rounded_without_being_asked():
    with jax.enable_x64(False):
        message = "from_test: weights are float64, which JAX rounds to float32 unless jax_enable_x64 is on"
        refused(message, nets.lstm_of, "from_test", np.zeros((3, 16)), np.zeros((4, 16)))
