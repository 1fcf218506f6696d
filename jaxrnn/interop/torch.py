"""PyTorch's nn.RNN, nn.LSTM and nn.GRU: weights [blocks * n, n_in], blocks as here, and two biases a cell.

The two are only ever added, so here they are one, but for b_hh of the GRU's n block, which r weighs: b_n. What goes
to PyTorch has its bias in b_ih, and zeros in b_hh. nn.LSTM(proj_size=...) is lstm_projected: weight_hr is w_hr turned.
nn.Linear is dense, so that a module of one's own can be taken apart and put together again by `stack`.
"""

from typing import Any

import numpy as np
import torch

from jaxrnn import layers
from jaxrnn.interop import nets
from jaxrnn.types import Cell, Layer, Params

SERVED = {"elman": ("tanh", "relu"), "lstm": (None,), "lstm_projected": (None,), "gru": ("after",)}


def from_torch(module: torch.nn.Module) -> tuple[Layer, Params]:
    """(layer, params) of an nn.RNN, nn.LSTM or nn.GRU; batch_major(...) where it has batch_first. nn.Linear is `dense`.

    dropout becomes `dropout` between the layers, which acts when `apply` is given a key. No weight depends on
    batch_first: module.batch_first = False before gives the layer with time first, for `last` and to_onnx.
    Raises ValueError on other modules.
    """
    if isinstance(module, torch.nn.Linear):
        b = None if module.bias is None else _numpy(module.bias)
        return nets.dense_of("from_torch", _numpy(module.weight).T, b)
    if not isinstance(module, torch.nn.RNN | torch.nn.LSTM | torch.nn.GRU):
        wanted = "wanted nn.RNN, nn.LSTM, nn.GRU or nn.Linear; convert a module's parts, and stack(...) them"
        raise ValueError(f"from_torch: module is a {type(module).__name__}, {wanted}")
    directions = ("", "_reverse") if module.bidirectional else ("",)
    rows = [nets.directed([_cell(module, f"_l{k}{d}") for d in directions]) for k in range(module.num_layers)]
    layer, params = nets.stacked(rows, module.dropout)
    return layers.batch_major(layer) if module.batch_first else layer, params


def _cell(module: Any, suffix: str) -> tuple[Cell, Params]:
    names = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * module.bias
    w_ih, w_hh, *biases = (_numpy(getattr(module, name + suffix)) for name in names)
    b_ih, b_hh = biases or (np.zeros(len(w_ih), w_ih.dtype),) * 2
    if isinstance(module, torch.nn.RNN):
        return nets.elman_of("from_torch", w_ih.T, w_hh.T, b_ih + b_hh, module.nonlinearity)
    if module.proj_size:
        w_hr = _numpy(getattr(module, "weight_hr" + suffix))
        return nets.lstm_projected_of("from_torch", w_ih.T, w_hh.T, w_hr.T, b_ih + b_hh)
    if isinstance(module, torch.nn.LSTM):
        return nets.lstm_of("from_torch", w_ih.T, w_hh.T, b_ih + b_hh)
    inner = np.arange(len(b_hh)) >= 2 * module.hidden_size
    return nets.gru_of("from_torch", "after", w_ih.T, w_hh.T, b_ih + np.where(inner, 0, b_hh), b_hh[inner])


def to_torch(layer: Layer, params: Params) -> torch.nn.RNN | torch.nn.LSTM | torch.nn.GRU | torch.nn.Linear:
    """The nn.RNN, nn.LSTM or nn.GRU, or of a `dense` alone the nn.Linear, on the CPU, that computes what `layer` does.

    Raises ValueError on what none of them computes: peepholes, a projection that is no narrower than n, other forms
    of the GRU, other activations, layers of different kinds or sizes, dropout that is not the same between all layers.
    """
    if getattr(getattr(layer, "spec", None), "name", "") == "dense":
        (out,) = nets.read("to_torch", "PyTorch", layer, params, whole=True).outputs
        return _linear(out)
    net = nets.read("to_torch", "PyTorch", layer, params, **SERVED)
    first = nets.alike("to_torch", "PyTorch", net)
    *between, after = net.rates
    if after or len(set(between)) > 1:
        raise ValueError(
            f"to_torch: dropout after the layers is {net.rates}, and PyTorch has one rate between them all"
        )
    projected = first.cell.name == "lstm_projected"
    if projected and first.n_y == first.n:
        raise ValueError(
            f"to_torch: n_proj is {first.n}, and PyTorch's proj_size is smaller than n, which is {first.n}"
        )
    options: dict[str, Any] = {"nonlinearity": first.kind} if first.cell.name == "elman" else {}
    options |= {"proj_size": first.n_y} if projected else {}
    kinds = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM, "lstm_projected": torch.nn.LSTM, "gru": torch.nn.GRU}
    module = kinds[first.cell.name](
        first.n_in,
        first.n,
        num_layers=len(net.rows),
        bidirectional=len(net.rows[0]) == 2,
        batch_first=net.batch_major,
        dropout=between[0] if between else 0.0,
        dtype=torch.float32 if first.dtype == np.float32 else torch.float64,
        **options,
    )
    weights = {
        name + f"_l{k}" + ("_reverse" if one.reverse else ""): torch.tensor(array)
        for k, row in enumerate(net.rows)
        for one in row
        for name, array in _weights(one.params).items()
    }
    module.load_state_dict(weights)
    return module


def _linear(params: layers.Dense) -> torch.nn.Linear:
    w, b = torch.tensor(np.array(params.w).T.copy()), torch.tensor(np.array(params.b))
    module = torch.nn.Linear(w.shape[1], w.shape[0], dtype=w.dtype)
    module.load_state_dict({"weight": w, "bias": b})
    return module


def _weights(params: Any) -> dict[str, np.ndarray]:
    b_hh = np.zeros_like(params.b)
    if getattr(params, "b_n", None) is not None:
        b_hh[-len(params.b_n) :] = params.b_n
    w_x, w_h, b = (np.array(a) for a in (params.w_x, params.w_h, params.b))
    weights = {"weight_ih": w_x.T.copy(), "weight_hh": w_h.T.copy(), "bias_ih": b, "bias_hh": b_hh}
    return weights | ({"weight_hr": np.array(params.w_hr).T.copy()} if hasattr(params, "w_hr") else {})


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"from_torch: weights are {tensor.dtype}, wanted float32 or float64")
    return tensor.detach().cpu().numpy()
