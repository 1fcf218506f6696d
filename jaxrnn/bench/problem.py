"""The numbers of a case: the same weights, x and cotangent for every contender, and what float64 makes of them.

The step that is timed is the forward pass and the gradients of all weights and of x, where the loss is the sum of all
outputs, each times a fixed random number (the cotangent); or the forward pass alone. Weights are drawn by the cell's
`init`, x and the cotangent are normal. Everything is rounded to the case's dtype first, so that float64 starts from the
same numbers.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.bench.case import Case
from jaxrnn.cells import CELLS, elman
from jaxrnn.types import Cell
from jaxrnn.unrolling import unroll

FORMS = {**CELLS, "elman_relu": partial(elman, activation="relu")}  # what a contender may compute


class Problem(NamedTuple):
    """Arrays are NumPy's; float32 stands for bfloat16, which `cast` rounds to without loss."""

    case: Case
    cell: Cell
    params: Any
    xs: np.ndarray  # [T, B, I]
    cotangent: np.ndarray  # [T, B, n_y]

    def cast(self, tree: Any) -> Any:
        """Every array of a tree as JAX's, in the case's dtype."""
        return jax.tree.map(lambda a: jnp.asarray(a, self.case.dtype), tree)


class Outputs(NamedTuple):
    ys: Any  # [T, B, n_y]
    d_params: Any = None  # in the places of the params of the cell that is computed
    d_xs: Any = None


def form(case: Case, computes: str, **options: Any) -> Cell:
    return FORMS[computes](case.I, case.H, **options)


def make(case: Case, computes: str, path: Path, seed: int = 0) -> None:
    """Draw a case's numbers and write them. To be called in float64."""
    cell = form(case, computes)
    key_params, key_xs, key_ys = jax.random.split(jax.random.key(seed), 3)
    params = jax.jit(cell.init)(key_params)
    xs = jax.random.normal(key_xs, (case.T, case.B, case.I))
    _, ys = jax.eval_shape(unroll(cell).apply, params, cell.carry((case.B,), params), xs)
    numbers = {"xs": xs, "cotangent": jax.random.normal(key_ys, ys.shape)}
    numbers |= {f"params{place}": leaf for place, leaf in _named(params).items()}
    np.savez(
        path, allow_pickle=False, **{name: np.asarray(a.astype(case.dtype), np.float64) for name, a in numbers.items()}
    )


def load(case: Case, computes: str, path: Path, dtype: str | None = None) -> Problem:
    """The numbers of a case, in its dtype or another."""
    wide = dtype or ("float64" if case.dtype == "float64" else "float32")
    cell = form(case, computes)
    with np.load(path, allow_pickle=False) as numbers:
        params = jax.tree.map_with_path(
            lambda place, _: numbers[f"params{jax.tree_util.keystr(place)}"].astype(wide),
            jax.eval_shape(cell.init, jax.random.key(0)),
        )
        return Problem(case, cell, params, numbers["xs"].astype(wide), numbers["cotangent"].astype(wide))


def solve(case: Case, computes: str, path: Path, solution: Path) -> None:
    """Write the outputs in float64, by `scan`."""
    problem = load(case, computes, path, "float64")
    layer = unroll(problem.cell, "scan")

    @jax.jit
    def pulled(params: Any, xs: Any, cotangent: Any) -> Any:
        def forward(params: Any, xs: Any) -> Any:
            return layer.apply(params, layer.carry((case.B,), params), xs)[1]

        ys, pull = jax.vjp(forward, params, xs)
        return ys, *(pull(cotangent) if case.mode == "train" else ())

    outputs = Outputs(*pulled(problem.params, problem.xs, problem.cotangent))
    np.savez(solution, allow_pickle=False, **{name: np.asarray(a) for name, a in _named(outputs).items()})


def errors(outputs: Outputs, solution: Path) -> dict[str, float]:
    """The largest error of each output, relative to the largest number that float64 has in its place."""
    with np.load(solution, allow_pickle=False) as wanted:
        found: dict[str, float] = {}
        for place, a in _named(outputs).items():
            right = wanted[place]
            name = place.lstrip(".")
            found[name] = float(np.max(np.abs(np.asarray(a, np.float64) - right)) / max(np.max(np.abs(right)), 1e-300))
        return found


def _named(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(place): leaf for place, leaf in jax.tree.leaves_with_path(tree)}
