"""elman, lstm and gru(form="after") are PyTorch's RNN, LSTM and GRU: in values, final states and every gradient.

PyTorch keeps its weights as [blocks * H, F], two biases a cell, and the states of a kind in one [layers * directions,
B, H]. `ours` takes these as they are and is written in JAX, so that gradients meet in PyTorch's layouts too.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import bidirectional, elman, gru, lstm, lstm_projected, stack, unroll

torch = pytest.importorskip("torch", reason="PyTorch is in no extra of jaxrnn; `pip install torch` runs these")

TOLERANCE = 1e-5  # float32, relative to the largest number of each array


def one_bias(w_ih, w_hh, b_ih, b_hh):
    """w_x, w_h, b: the biases of an RNN or LSTM are only ever added."""
    return w_ih.T, w_hh.T, b_ih + b_hh


def two_biases(w_ih, w_hh, b_ih, b_hh):
    """w_x, w_h, b, b_n: r weighs the last block of a GRU's b_hh."""
    n = w_hh.shape[1]
    return w_ih.T, w_hh.T, b_ih + b_hh.at[2 * n :].set(0), b_hh[2 * n :]


PEERS = {"RNN": (elman, one_bias), "LSTM": (lstm, one_bias), "GRU": (gru, two_biases)}


class Case(NamedTuple):
    T: int
    B: int
    n_in: int
    n: int
    layers: int = 1
    directions: int = 1


SHAPES = [Case(*shape) for shape in itertools.product((1, 6), (1, 3), (1, 5), (1, 7))]
OFTEN = {Case(1, 3, 5, 7), Case(6, 1, 1, 1)}  # of these at each change, all with `pytest --heavy`
CASES = [
    *(pytest.param(case, marks=[pytest.mark.heavy] * (case not in OFTEN)) for case in SHAPES),
    Case(5, 2, 3, 4),
    pytest.param(Case(30, 2, 3, 17), marks=pytest.mark.heavy),
    Case(12, 8, 16, 32),
    Case(5, 2, 3, 4, layers=2),
    Case(5, 2, 3, 4, directions=2),
    Case(7, 1, 5, 3, layers=2, directions=2),
]


def theirs(net, xs, states, d_ys, d_states):
    """ys and final states, then the gradients of weights, xs and states, for the given gradients of the former."""
    xs, *states = (torch.tensor(a, requires_grad=True) for a in (xs, *states))
    ys, after = net(xs, tuple(states) if len(states) > 1 else states[0])
    values = [ys, *after] if len(states) > 1 else [ys, after]
    gradients = torch.autograd.grad(values, [*net.parameters(), xs, *states], [*map(torch.tensor, (d_ys, *d_states))])
    return [a.detach().numpy() for a in (*values, *gradients)]


def ours(kind, case, weights, xs, states, d_ys, d_states):
    """The same, in the same order."""
    cell, convert = PEERS[kind]
    widths = [case.n_in] + [case.directions * case.n] * (case.layers - 1)
    forward = [unroll(cell(width, case.n)) for width in widths]
    backward = [unroll(cell(width, case.n), reverse=True) for width in widths]
    layer = stack(*(forward if case.directions == 1 else map(bidirectional, forward, backward)))
    params_structure = jax.tree.structure(jax.eval_shape(layer.init, jax.random.key(0)))
    carry_structure = jax.tree.structure(layer.carry(()))

    def f(weights, xs, states):
        params = [leaf for k in range(0, len(weights), 4) for leaf in convert(*weights[k : k + 4])]
        carry = [state[k] for k in range(len(states[0])) for state in states]
        after, ys = layer.apply(params_structure.unflatten(params), carry_structure.unflatten(carry), xs)
        leaves = jax.tree.leaves(after)
        return [ys, *(jnp.stack(leaves[k :: len(states)]) for k in range(len(states)))]

    @jax.jit
    def run(inputs, gradients):
        values, pull = jax.vjp(f, *inputs)
        return [*values, *jax.tree.leaves(pull(gradients))]

    return run(*jax.tree.map(jnp.float32, ((weights, xs, states), [d_ys, *d_states])))


@functools.cache
def both(kind, case):
    """{name: (ours, theirs)} with values ys, h, c and gradients `d weight_ih_l0`, ..., `d xs`, `d h`, `d c`."""
    torch.manual_seed(0)
    net = getattr(torch.nn, kind)(case.n_in, case.n, num_layers=case.layers, bidirectional=case.directions == 2)
    numbers = np.random.default_rng(0)
    x = (case.T, case.B, case.n_in)
    y = (case.T, case.B, case.directions * case.n)
    kept = ["h", "c"] if kind == "LSTM" else ["h"]
    state = (len(kept), case.layers * case.directions, case.B, case.n)
    xs, states, d_ys, d_states = (numbers.normal(size=shape).astype(np.float32) for shape in (x, state, y, state))
    weights = [w.detach().numpy() for w in net.parameters()]
    names = ["ys", *kept, *(f"d {name}" for name in [*dict(net.named_parameters()), "xs", *kept])]
    a = ours(kind, case, weights, xs, list(states), d_ys, list(d_states))
    b = theirs(net, xs, states, d_ys, d_states)
    return {name: pair for name, *pair in zip(names, a, b, strict=True)}


def close(pairs):
    """Each pair agrees, relative to the largest number in it."""
    for name, (a, b) in pairs.items():
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * np.abs(b).max(), err_msg=name)


kinds = pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in PEERS])
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))


@kinds
@cases
def test_values_and_final_states_are_those_of_torch(kind, case):
    close({name: pair for name, pair in both(kind, case).items() if not name.startswith("d ")})


@kinds
@cases
def test_gradients_are_those_of_torch(kind, case):
    close({name: pair for name, pair in both(kind, case).items() if name.startswith("d ")})


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("case", [Case(1, 1, 1, 2), Case(7, 3, 5, 6)], ids=lambda case: "-".join(map(str, case)))
def test_a_projected_lstm_is_that_of_torch(case):
    """nn.LSTM(proj_size=...), whose h and ys are n_proj wide and whose c is n wide: values and gradients."""
    torch.manual_seed(0)
    n_proj = case.n // 2
    net = torch.nn.LSTM(case.n_in, case.n, proj_size=n_proj)
    numbers = np.random.default_rng(0)
    shapes = [(case.T, case.B, case.n_in), (case.B, n_proj), (case.B, case.n), (case.T, case.B, n_proj)]
    xs, h, c, d_ys = (numbers.normal(size=shape).astype(np.float32) for shape in shapes)
    names, weights = zip(*((name, w.detach().numpy()) for name, w in net.named_parameters()), strict=True)
    layer = unroll(lstm_projected(case.n_in, case.n, n_proj))

    def f(weights, xs, h, c):
        w_ih, w_hh, b_ih, b_hh, w_hr = weights
        params = type(layer.init(jax.random.key(0)))(w_ih.T, w_hh.T, b_ih + b_hh, w_hr.T, None)
        carry, ys = layer.apply(params, type(layer.carry(()))(h, c), xs)
        return ys, carry.h[None], carry.c[None]

    values, pull = jax.vjp(jax.jit(f), *jax.tree.map(jnp.float32, (list(weights), xs, h, c)))
    d_weights, *d_rest = pull((d_ys, h[None], c[None]))
    a = [*values, *d_weights, *d_rest]
    b = theirs(net, xs, [h[None], c[None]], d_ys, [h[None], c[None]])
    b[-2:] = [state[0] for state in b[-2:]]
    close(
        dict(
            zip(
                ["ys", "h", "c", *(f"d {name}" for name in [*names, "xs", "h", "c"])],
                zip(a, b, strict=True),
                strict=True,
            )
        )
    )
