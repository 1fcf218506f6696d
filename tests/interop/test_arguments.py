"""Every argument of every from_ and to_, given something that is not of its kind: one line that says so."""

import importlib.util
import inspect
import os
from typing import Any

import jax.numpy as jnp
import pytest

import jaxrnn.interop
from jaxrnn import Policy, batch_major, lstm, unroll

from .comparing import made, refused

os.environ.setdefault("KERAS_BACKEND", "jax")

LAYER = unroll(lstm(3, 4, policy=Policy(param=jnp.float32)))
PARAMS = made(LAYER)
HOMES = {"linen": "flax", "nnx": "flax", "cudnn": "jax", "files": "jax"}
BATCH_MAJOR = ("to_keras", "to_cudnn")
SHORT = "Params(w_x=float32[3, 16], w_h=float32[4, 16], b=float32[16], peepholes=None)"
FROM = {
    "from_torch": {
        "module": "from_torch: module is a NoneType, wanted nn.RNN, nn.LSTM, nn.GRU or nn.Linear; convert a module's "
        "parts, and stack(...) them"
    },
    "from_keras": {
        "layer": "from_keras: layer is a NoneType, wanted a SimpleRNN, LSTM or GRU, or a Bidirectional of them"
    },
    "from_linen": {
        "module": "from_linen: module is NoneType, wanted nn.RNN of one of "
        "SimpleCell, LSTMCell, OptimizedLSTMCell, GRUCell",
        "variables": "from_linen: variables is None, wanted params in it",
    },
    "from_nnx": {
        "module": "from_nnx: module is NoneType, wanted nnx.RNN of one of "
        "SimpleCell, LSTMCell, OptimizedLSTMCell, GRUCell"
    },
    "from_haiku": {
        "core": "from_haiku: core is None, wanted hk.VanillaRNN, hk.LSTM or hk.GRU",
        "params": "from_haiku: params is None, wanted {module: {name: array}}",
    },
    "from_equinox": {"cell": "from_equinox: cell is a NoneType, wanted eqx.nn.LSTMCell or eqx.nn.GRUCell"},
    "from_cudnn": {
        "weights": "from_cudnn: weights is None, wanted float32[144] for these sizes",
        "n_in": "from_cudnn: n_in is None, wanted a whole number of at least 1",
        "n": "from_cudnn: n is None, wanted a whole number of at least 1",
        "num_layers": "from_cudnn: num_layers is None, wanted a whole number of at least 1",
        "bidirectional": "from_cudnn: bidirectional is None, wanted True or False",
    },
    "from_onnx": {"model": "from_onnx: model is a NoneType, wanted an onnx.ModelProto; onnx.load reads one"},
    "load": {
        "path": "load: path is None, wanted a name that ends in .safetensors or .npz",
        "like": "load: like.0 is 1, wanted an array",
    },
    "save": {
        "path": "save: path is None, wanted a name that ends in .safetensors or .npz",
        "params": "save: params.0 is 1, wanted an array",
    },
}
TO = {
    name: {
        "layer": f"{name}: layer is a NoneType, wanted a Layer",
        "params": f"{name}: params is None, wanted {SHORT}; layer.init(key) makes them",
    }
    for name in jaxrnn.interop.__all__
    if name.startswith("to_")
}
TO["to_onnx"] |= {name: f"to_onnx: {name} is None, wanted True or False" for name in ("states", "lengths")}
MESSAGES = FROM | TO


def rightly(name: str) -> dict[str, Any]:
    """The arguments of a call that would succeed, as far as the checks of another argument look."""
    if name.startswith("to_"):
        return {"layer": batch_major(LAYER) if name in BATCH_MAJOR else LAYER, "params": PARAMS}
    if name == "from_linen":
        module, variables = jaxrnn.interop.to_linen(LAYER, PARAMS)
        return {"module": module, "variables": variables}
    if name == "from_haiku":
        return dict(zip(("core", "params"), jaxrnn.interop.to_haiku(LAYER, PARAMS), strict=True))
    if name == "from_cudnn":
        return {"weights": None, "n_in": 3, "n": 4, "num_layers": 1, "bidirectional": False}
    return {"path": "a.npz", "like": PARAMS} if name == "load" else {"path": "a.npz", "params": PARAMS}


@pytest.mark.parametrize("name", jaxrnn.interop.__all__)
def test_every_argument_is_refused_by_its_name(name: str):
    framework = name.partition("_")[2] or "files"
    if importlib.util.find_spec(HOMES.get(framework, framework)) is None:
        pytest.skip(f"{framework} is not installed")
    function = getattr(jaxrnn.interop, name)
    messages = MESSAGES[name]
    assert messages.keys() == inspect.signature(function).parameters.keys()
    right = rightly(name) if len(messages) > 1 else {}
    for argument, message in messages.items():
        wrong = (1,) if message.endswith(".0 is 1, wanted an array") else None
        with pytest.raises(ValueError) as error:  # noqa: PT011
            function(**{**right, argument: wrong})
        assert str(error.value) == message


def test_weights_that_do_not_fit_together_are_named():
    pytest.importorskip("haiku")
    import haiku as hk

    from_haiku = jaxrnn.interop.from_haiku
    weights = {"w": jnp.zeros((7, 16)), "b": jnp.zeros(3)}
    message = "from_haiku: params.lstm/linear.b is float64[3], wanted 4 blocks of one width"
    refused(message, from_haiku, hk.LSTM, {"lstm/linear": weights})
    message = "from_haiku: params.lstm/linear has w, wanted b in it"
    refused(message, from_haiku, hk.LSTM, {"lstm/linear": {"w": weights["w"]}})
    wide = {"w": jnp.zeros((7, 16)), "b": jnp.zeros(20)}
    message = "from_haiku: weights.w_x is float64[2, 16], wanted [2, 20]; w_x is float64[2, 16]"
    refused(message, from_haiku, hk.LSTM, {"lstm/linear": wide})


def test_variables_of_another_module_are_named():
    pytest.importorskip("flax")
    from_linen, to_linen = jaxrnn.interop.from_linen, jaxrnn.interop.to_linen
    module, _ = to_linen(LAYER, PARAMS)
    message = "from_linen: variables.params.cell has hi, ii, wanted if in it"
    kernel = {"kernel": jnp.zeros((3, 4), jnp.float32)}
    refused(message, from_linen, module, {"params": {"cell": {"hi": kernel, "ii": kernel}}})
