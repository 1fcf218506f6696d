"""nn.RNN, nn.LSTM and nn.GRU come and go with their values, final states and every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import (
    Policy,
    batch_major,
    bidirectional,
    dense,
    dropout,
    elman,
    gru,
    last,
    learned_carry,
    lstm,
    lstm_projected,
    stack,
    unroll,
)

from .comparing import B, T, close, made, pulled, randomized, refused, same

torch = pytest.importorskip("torch", reason="PyTorch is in no extra of jaxrnn; `pip install torch` runs these")

from jaxrnn.interop import from_torch, to_torch

F32 = Policy(param=jnp.float32)
KINDS = {
    "tanh": lambda *a, **k: torch.nn.RNN(*a, **k),
    "relu": lambda *a, **k: torch.nn.RNN(*a, nonlinearity="relu", **k),
    "lstm": lambda *a, **k: torch.nn.LSTM(*a, **k),
    "projected": lambda *a, **k: torch.nn.LSTM(*a, proj_size=2, **k),
    "gru": lambda *a, **k: torch.nn.GRU(*a, **k),
}
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
CASES = [
    {},
    {"bias": False},
    {"batch_first": True, "bidirectional": True},
    {"num_layers": 2, "dropout": 0.5},
    {"num_layers": 2, "bidirectional": True},
]
# Each kind meets every other case at each change, all with `pytest --heavy`.
PAIRS = [
    pytest.param(kind, case, marks=[pytest.mark.heavy] * ((k + j) % 2), id=f"{'-'.join(case) or 'plain'}-{kind}")
    for k, kind in enumerate(KINDS)
    for j, case in enumerate(CASES)
]
kinds_and_cases = pytest.mark.parametrize(("kind", "case"), PAIRS)


def theirs(module, xs, states, d_ys, d_states):
    """(ys, states), the gradients of the weights by name, and those of (states, xs)."""
    module.eval()
    xs = torch.tensor(np.asarray(xs), requires_grad=True)
    states = [torch.tensor(np.asarray(s), requires_grad=True) for s in states]
    ys, after = module(xs, tuple(states) if len(states) > 1 else states[0])
    after = list(after) if len(states) > 1 else [after]
    names, weights = zip(*module.named_parameters(), strict=True)
    given = [torch.tensor(np.asarray(d)) for d in (d_ys, *d_states)]
    gradients = [g.numpy() for g in torch.autograd.grad([ys, *after], [*weights, *states, xs], given)]
    n = len(names)
    values = ys.detach().numpy(), [a.detach().numpy() for a in after]
    return values, dict(zip(names, gradients[:n], strict=True)), (gradients[n:-1], gradients[-1])


@kinds_and_cases
def test_values_and_gradients_are_those_of_torch(kind, case):
    torch.manual_seed(0)
    module = KINDS[kind](3, 4, **case)
    layer, params = from_torch(module)
    directions = 2 if module.bidirectional else 1
    n_y = module.proj_size or 4
    cells, widths = module.num_layers * directions, (n_y, 4) if module.mode == "LSTM" else (n_y,)
    batch = (B, T) if module.batch_first else (T, B)
    state = [np.zeros((cells, B, width)) for width in widths]
    xs, d_ys, states, d_states = randomized(
        1, (np.zeros((*batch, 3)), np.zeros((*batch, directions * n_y)), state, state)
    )

    structure = jax.tree.structure(layer.carry((B,), params))
    carry, d_carry = (structure.unflatten(s[i] for i in range(cells) for s in given) for given in (states, d_states))
    (after, ys), d_params, (d_before, d_xs) = pulled(layer, params, carry, xs, d_ys, d_carry)
    values, d_weights, (d_theirs, d_their_xs) = theirs(module, xs, states, d_ys, d_states)

    def as_theirs(carry):
        leaves = jax.tree.leaves(carry)
        return [jnp.stack(leaves[k :: len(widths)]) for k in range(len(widths))]

    close((ys, as_theirs(after)), values, "values")
    close((as_theirs(d_before), d_xs), (d_theirs, d_their_xs), "gradients")
    ours = {name: w.detach().numpy() for name, w in to_torch(layer, d_params).named_parameters()}
    for name, gradient in d_weights.items():
        if "bias_hh" not in name:  # it has the gradient of bias_ih, but for the n block of a GRU
            close(ours[name], gradient, name)
        elif kind == "gru":
            close(ours[name][8:], gradient[8:], name)


@kinds_and_cases
def test_the_round_trip_is_exact(kind, case):
    torch.manual_seed(0)
    module = KINDS[kind](3, 4, **case)
    ours = from_torch(module)
    there = to_torch(*ours)
    same(from_torch(there), ours)
    kept = ("input_size", "hidden_size", "num_layers", "bidirectional", "batch_first", "dropout", "mode", "proj_size")
    assert [getattr(there, name) for name in kept] == [getattr(module, name) for name in kept]


def test_a_network_made_here_is_the_same_there():
    layer = batch_major(
        stack(*(bidirectional(unroll(lstm(n, 4)), unroll(lstm(n, 4), reverse=True)) for n in (3, 8, 8)))
    )
    params = made(layer)
    xs = randomized(1, np.zeros((B, T, 3)))
    ys, _ = to_torch(layer, params)(torch.tensor(np.asarray(xs)))
    close(layer.apply(params, layer.carry((B,), params), xs)[1], ys.detach().numpy())


def test_float64_stays_float64():
    module = torch.nn.GRU(2, 3, dtype=torch.float64)
    layer, params = from_torch(module)
    assert params.w_x.dtype == np.float64
    assert layer.spec == unroll(gru(2, 3)).spec
    assert to_torch(layer, params).weight_ih_l0.dtype == torch.float64


def test_dropout_acts_between_the_layers():
    layer, params = from_torch(torch.nn.LSTM(3, 4, num_layers=3, dropout=0.25))
    wanted = stack(
        unroll(lstm(3, 4, policy=F32)),
        dropout(0.25),
        unroll(lstm(4, 4, policy=F32)),
        dropout(0.25),
        unroll(lstm(4, 4, policy=F32)),
    )
    assert layer.spec == wanted.spec
    assert to_torch(layer, params).dropout == 0.25


class Tagger(torch.nn.Module):
    """A module as people write them: a recurrent part with the batch first, and a read-out."""

    def __init__(self, bias=True):
        super().__init__()
        self.rnn = torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.fc = torch.nn.Linear(8, 5, bias=bias)

    def forward(self, xs):
        return self.fc(self.rnn(xs)[0])


@pytest.mark.parametrize("bias", [True, False])
def test_a_module_of_ones_own_is_the_stack_of_its_parts(bias):
    torch.manual_seed(0)
    module = Tagger(bias)
    layers, params = zip(*map(from_torch, (module.rnn, module.fc)), strict=True)
    layer = stack(*layers)
    xs = randomized(1, np.zeros((B, T, 3)))
    ys = layer.apply(params, layer.carry((B,), params), xs)[1]
    close(np.asarray(ys), module(torch.tensor(np.asarray(xs))).detach().numpy())


def test_batch_first_may_be_taken_off_a_module():
    torch.manual_seed(0)
    module = Tagger()
    rnn, fc = module.rnn, from_torch(module.fc)
    rnn.batch_first = False
    ours = from_torch(rnn)
    layer, params = last(stack(ours[0], fc[0])), (ours[1], fc[1])
    xs = randomized(1, np.zeros((T, B, 3)))
    ys = layer.apply(params, layer.carry((B,), params), xs)[1]
    rnn.batch_first = True
    there = module(torch.tensor(np.swapaxes(xs, 0, 1)))
    close(np.asarray(ys), there[:, -1].detach().numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_round_trip_of_linear_is_exact(dtype):
    torch.manual_seed(0)
    ours = from_torch(torch.nn.Linear(3, 4, dtype=dtype))
    assert ours[0].spec == dense(3, 4, policy=F32 if dtype == torch.float32 else Policy()).spec
    there = to_torch(*ours)
    assert there.weight.dtype == dtype
    same(from_torch(there), ours)


BF16 = Policy(compute=jnp.bfloat16, param=jnp.float32)
RNN, GRU = unroll(elman(3, 4)), unroll(gru(3, 4))
REFUSED = [
    (
        unroll(gru(3, 4, form="before")),
        "to_torch: PyTorch's gru has no form='before', only 'after': reset before or after the product are different "
        "functions, and no weights turn one into the other",
    ),
    (
        unroll(gru(3, 4, form="article")),
        "to_torch: PyTorch's gru has no form='article', only 'after': the article's own GRU, where r weighs the input, "
        "is no other's",
    ),
    (
        unroll(lstm(3, 4, peepholes="diagonal")),
        "to_torch: PyTorch's lstm has no peepholes='diagonal', only None: no weights stand in for peepholes",
    ),
    (
        unroll(lstm(3, 4, peepholes="full")),
        "to_torch: PyTorch's lstm has no peepholes='full', only None: no weights stand in for peepholes",
    ),
    (
        unroll(lstm_projected(3, 4, 2, "diagonal")),
        "to_torch: PyTorch's lstm_projected has no peepholes='diagonal', only None: no weights stand in for peepholes",
    ),
    (
        unroll(lstm_projected(3, 4, 4)),
        "to_torch: n_proj is 4, and PyTorch's proj_size is smaller than n, which is 4",
    ),
    (
        stack(unroll(lstm_projected(3, 4, 2)), unroll(lstm_projected(2, 4, 3))),
        "to_torch: layer 1 has n_proj 3, and PyTorch would have 2 there",
    ),
    (
        unroll(elman(3, 4, "sigmoid")),
        "to_torch: PyTorch's elman has no activation='sigmoid', only 'tanh', 'relu'",
    ),
    (
        unroll(lstm(3, 4, policy=BF16)),
        "to_torch: the layer computes in bfloat16, float32, and PyTorch's is all float32 or all float64",
    ),
    (
        unroll(elman(3, 4), reverse=True),
        "to_torch: layer 0 has reverse True, and PyTorch would have False there",
    ),
    (
        unroll(learned_carry(gru(3, 4))),
        "to_torch: PyTorch has no learned_carry, a state is an argument there; convert the layer without it, with "
        "params.cell, and begin from params.start",
    ),
    (
        dense(3, 4, policy=BF16),
        "to_torch: the layer computes in bfloat16, float32, and PyTorch's is all float32 or all float64",
    ),
    (stack(RNN, unroll(gru(4, 4))), "to_torch: layer 1 has cell gru, and PyTorch would have elman there"),
    (stack(RNN, unroll(elman(4, 5))), "to_torch: layer 1 has n 5, and PyTorch would have 4 there"),
    (
        stack(RNN, dense(4, 2)),
        "to_torch: PyTorch's recurrent layers have no dense; wanted unroll(cell), perhaps in a stack",
    ),
    (
        stack(dropout(0.5), RNN),
        "to_torch: PyTorch has dropout only after a recurrent layer, once",
    ),
    (
        stack(RNN, dropout(0.5)),
        "to_torch: dropout after the layers is (0.5,), and PyTorch has one rate between them all",
    ),
]


@pytest.mark.parametrize(("layer", "message"), REFUSED)
def test_what_torch_cannot_compute_is_refused(layer, message):
    refused(message, to_torch, layer, made(layer))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            lambda: torch.nn.GRU(3, 4, dtype=torch.bfloat16),
            "from_torch: weights are torch.bfloat16, wanted float32 or float64",
        ),
        (
            lambda: torch.nn.LSTMCell(3, 4),
            "from_torch: module is a LSTMCell, wanted nn.RNN, nn.LSTM, nn.GRU or nn.Linear; convert a module's parts, "
            "and stack(...) them",
        ),
    ],
)
def test_what_is_not_here_is_refused(module, message):
    refused(message, from_torch, module())
