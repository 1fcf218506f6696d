"""How much work a case is, and that every peer does it: its outputs and gradients are float64's."""

import jax
import numpy as np
import pytest

from jaxrnn.bench import problem
from jaxrnn.bench.case import Case
from jaxrnn.bench.count import flops, least_bytes
from jaxrnn.bench.peers import PEERS

T, B, I, H = 5, 2, 3, 4
PRODUCTS = {  # multiply-adds of a step of one sequence, in its matrix products
    "elman": H * (I + H),
    "lstm": 4 * H * (I + H),
    "lstm_diagonal": 4 * H * (I + H),
    "lstm_full": 4 * H * (I + H) + 3 * H * H,
    "gru": 3 * H * (I + H),
    "gru_before": 3 * H * (I + H),
    "mgu": 2 * H * (I + H),
    "mingru": 2 * H * I,
}


def case(cell, mode="train", dtype="float32"):
    return Case(cell, B, T, I, H, dtype, mode)


@pytest.mark.parametrize("cell", PRODUCTS)
def test_flops_are_those_of_the_closed_form(cell):
    forward = 2 * T * B * PRODUCTS[cell]
    assert flops(case(cell, "forward"), cell) == forward
    assert flops(case(cell), cell) == 3 * forward


def test_the_least_that_must_move_is_what_comes_in_and_goes_out():
    weights, sequences = 4 * H * (I + H + 1), T * B * (I + H)
    assert least_bytes(case("lstm", "forward"), "lstm") == 4 * (weights + sequences)
    assert least_bytes(case("lstm", dtype="bfloat16"), "lstm") == 2 * 2 * (weights + sequences)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """Gives solve(form) -> the files of its numbers and of what float64 makes of them."""
    directory = tmp_path_factory.mktemp("problems")

    def solve(form):
        numbers, solution = directory / f"{form}.npz", directory / f"{form}.solution.npz"
        if not numbers.exists():
            problem.make(case(form), form, numbers)
            problem.solve(case(form), form, numbers, solution)
        return numbers, solution

    return solve


# A cell for each peer's every way of reading gradients.
READ = [
    ("linen", "lstm"),
    ("nnx", "gru"),
    ("equinox", "gru"),
    ("haiku", "elman"),
    ("haiku", "lstm"),
    ("haiku", "gru"),
    ("keras", "gru"),
    ("torch", "elman"),
    ("torch", "gru"),
]


@pytest.mark.parametrize(("name", "cell"), READ)
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_a_peer_computes_what_it_says_with_the_same_numbers(name, cell, solved, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip(PEERS[name].module, reason="the extra `peers` brings it, but for PyTorch")
    import importlib

    form = PEERS[name].cells[cell]
    numbers, solution = solved(form)
    with jax.numpy_dtype_promotion("standard"):
        step = importlib.import_module(f"jaxrnn.bench.peers.{name}").build(problem.load(case(cell), form, numbers))
        step.compile()
        step.run()
        errors = problem.errors(step.outputs(), solution)
    assert {"ys", "d_xs", "d_params.w_x", "d_params.w_h", "d_params.b"} <= errors.keys()
    assert max(errors.values()) < 2e-6, errors
    assert step.notes["version"]
    assert "float32" in step.notes["precision"]


def test_an_error_is_told_relative_to_the_largest_number(tmp_path):
    np.savez(tmp_path / "solution.npz", allow_pickle=False, **{".ys": np.array([1.0, -4.0])})
    assert problem.errors(problem.Outputs(ys=np.array([1.0, -3.0])), tmp_path / "solution.npz") == {"ys": 0.25}
