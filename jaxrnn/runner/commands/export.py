"""A run's network as files that need neither the runner nor jaxrnn: StableHLO by jax.export, weights by safetensors.

T, where the network takes any, and the batch stay symbolic. A network that reads from the start alone is there a second
time with its state as an argument and a result, for input that comes in piece by piece. What was written is read back
and run on real data, beside the network itself; where the run's data are not there, on numbers made up in their place.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxrnn import Layer
from jaxrnn.interop import load, save
from jaxrnn.runner import showing
from jaxrnn.runner.commands.options import Export
from jaxrnn.runner.console import make_console
from jaxrnn.runner.loading import Run, load_run
from jaxrnn.runner.problem import DataGone, Problem
from jaxrnn.types import Spec

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
MODEL, WEIGHTS = "model.stablehlo", "weights.safetensors"
FORWARD = ("stack", "residual", "truncate", "weight_drop", "last", "dense", "embed", "dropout")  # if what is in them is
STREAM, START = "stream.stablehlo", "start.safetensors"
USE = f"""import jax
from safetensors.numpy import load_file

model = jax.export.deserialize(bytearray(open("{MODEL}", "rb").read()))
ys = model.call(load_file("{WEIGHTS}"), xs)
"""

GO_ON = f"""import numpy as np

stream = jax.export.deserialize(bytearray(open("{STREAM}", "rb").read()))
state = {{name: np.repeat(a, xs.shape[1], axis=0) for name, a in load_file("{START}").items()}}
state, ys = stream.call(load_file("{WEIGHTS}"), state, xs)  # and again with the steps that come next
"""


class Checked(NamedTuple):
    """What reading back showed."""

    weights: float  # the largest difference of any weight; 0: bit for bit
    outputs: float  # of any output on the xs, between the file and the network
    largest: float  # output
    shape: tuple[int, ...]  # of the xs


def run(options: Export) -> None:
    """Write the folder. Raises ValueError where the task shows no example of its input, or the folder is there."""
    console = make_console()
    try:
        import safetensors  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError('export: needs safetensors: pip install "jaxrnn[export]"') from None
    found = load_run(options.run, options.member, options.weights)
    if found.problem.example is None:
        raise ValueError(f"run: {options.run} is a run of {found.name!r}, which shows no example of its input")
    example, real = example_of(found.problem)
    began, model = time.perf_counter(), serialized(found.problem, found.params, example)
    folder = showing.new_folder(options.output or options.run / "export", "output")  # none is left where that fails
    (folder / MODEL).write_bytes(model)
    save(folder / WEIGHTS, found.params)
    if streams(found.problem):
        (folder / STREAM).write_bytes(streamed(found.problem.layer, found.params, example))
        save(folder / START, found.problem.layer.carry((1,), found.params))
    checked = read_back(folder, found.problem.layer, found.params, example)
    about = described(options, found, example, real, checked)
    (folder / "about.json").write_text(showing.as_json(about) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(readme(about), encoding="utf-8")
    console.out(f"{WEIGHTS}: read back, {told(checked.weights, None)}", highlight=False)
    same = told(checked.outputs, checked.largest)
    models = f"{MODEL} and {STREAM}" if (folder / STREAM).exists() else MODEL
    console.out(f"{models}: read back and run on xs {list(checked.shape)} of {of(real)}: {same}", highlight=False)
    console.out(f"done in {time.perf_counter() - began:.1f} s, README.md in {folder} says how to load both")


def example_of(problem: Problem) -> tuple[np.ndarray, bool]:
    """The xs of one sequence, and whether they are real."""
    assert problem.example
    try:
        return np.asarray(problem.example()), True
    except DataGone:
        if problem.made_up is None:
            raise
        return np.asarray(problem.made_up()), False


def of(real: bool) -> str:
    return "real data" if real else "made-up data, as the run's own are not there"


def function(layer: Layer, params: PyTree) -> Callable[[dict[str, Array], Array], Array]:
    """(weights by their names in the file, xs [T, B, ...]) -> ys, from the layer's own start."""

    def apply(weights: dict[str, Array], xs: Array) -> Array:
        inner = unnamed(params, weights)
        return layer.apply(inner, layer.carry((xs.shape[1],), inner), xs)[1]

    return apply


def named(params: PyTree) -> dict[str, Any]:
    """The arrays under the names that jaxrnn.interop.save gives them."""
    leaves = jax.tree.leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator=".") or "params": leaf for path, leaf in leaves}


def unnamed(like: PyTree, arrays: Mapping[str, Any]) -> PyTree:
    """The arrays in the structure of a tree that has these names."""
    return jax.tree.structure(like).unflatten(arrays[name] for name in named(like))


def serialized(problem: Problem, params: PyTree, example: np.ndarray) -> bytes:
    T, B = jax.export.symbolic_shape("T, B")
    T = problem.steps or T
    xs = jax.ShapeDtypeStruct((T, B, *example.shape[1:]), example.dtype)
    return written(function(problem.layer, params), shapes(named(params)), xs)


def streams(problem: Problem) -> bool:
    """Whether the network can go on from a state: it takes any number of steps and reads from the start alone."""
    return problem.steps is None and goes_on(problem.layer.spec)


def goes_on(made_by: Spec | None) -> bool:
    """Whether all of it is known to read from the start; `last` may be around it.

    checks.forward asks less, as it refuses only what is known not to, and more, as `last` gives no y a step.
    """
    if made_by is None or made_by.name == "unroll":
        return made_by is not None and not dict(made_by.options)["reverse"]
    return made_by.name in FORWARD and all(map(goes_on, made_by.children))


def streamed(layer: Layer, params: PyTree, example: np.ndarray) -> bytes:
    """(weights, state by names, xs [T, B, ...]) -> (the state to go on with, ys)."""
    T, B = jax.export.symbolic_shape("T, B")
    start = jax.eval_shape(lambda params: layer.carry((B,), params), params)

    def apply(weights: dict[str, Array], state: dict[str, Array], xs: Array) -> tuple[dict[str, Array], Array]:
        carry, ys = layer.apply(unnamed(params, weights), unnamed(start, state), xs)
        return named(carry), ys

    given = [shapes(named(tree)) for tree in (params, start)]
    xs = jax.ShapeDtypeStruct((T, B, *example.shape[1:]), example.dtype)
    return written(apply, *given, xs)


def written(function: Callable[..., Any], *shapes: Any) -> bytes:
    return bytes(jax.export.export(jax.jit(function), platforms=PLATFORMS)(*shapes).serialize(vjp_order=1))


def shapes(arrays: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    return {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in arrays.items()}


def read_back(folder: Path, layer: Layer, params: PyTree, example: np.ndarray) -> Checked:
    """The files against what they were made of: two sequences, the second the first backwards."""
    weights = load(folder / WEIGHTS, like=params)
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(params), strict=True)
    off = max(difference(a, b) for a, b in pairs)
    xs = jnp.stack([example, example[::-1]], 1)
    model = jax.export.deserialize(bytearray((folder / MODEL).read_bytes()))
    wanted = jax.jit(function(layer, params))(named(weights), xs)
    found = [model.call(named(weights), xs)]
    if (folder / STREAM).exists():
        stream = jax.export.deserialize(bytearray((folder / STREAM).read_bytes()))
        found.append(stream.call(named(weights), named(layer.carry((2,), params)), xs)[1])
    outputs = max(difference(ys, wanted) for ys in found)
    return Checked(off, outputs, float(jnp.abs(wanted).max()), xs.shape)


def difference(a: Any, b: Any) -> float:
    """The largest; not a number where only one of the two is."""
    a, b = np.asarray(a), np.asarray(b)
    return 0.0 if np.array_equal(a, b, equal_nan=True) else float(np.abs(a.astype(float) - b.astype(float)).max())


def told(off: float, largest: float | None) -> str:
    return "bit for bit the same" if off == 0 else f"largest difference {off:.2g}, largest number {largest:.2g}"


def described(options: Export, found: Run, example: np.ndarray, real: bool, checked: Checked) -> dict[str, Any]:
    """about.json."""
    features = example.shape[1:]
    return {
        "run": str(options.run),
        "task": found.name,
        "weights": options.weights,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(found.params)),
        "xs": f"{example.dtype}[{', '.join(map(str, (found.problem.steps or 'T', 'B', *features)))}]",
        "steps": found.problem.steps,
        "streams": streams(found.problem),
        "platforms": PLATFORMS,
        "jax": jax.__version__,
        "read back": checked._asdict(),
        "read back on": of(real),
        "config": found.record["config"],
        "assets": dict(found.problem.assets),
    }


def readme(about: dict[str, Any]) -> str:
    checked = Checked(**about["read back"])
    steps = f"{about['steps']} steps, any number" if about["steps"] else "any number of steps T from 1 and"
    same = told(checked.outputs, checked.largest)
    going_on = f"For input that comes in piece by piece, `{STREAM}` gives the state back:\n\n```python\n{GO_ON}```\n\n"
    going_on = going_on if about["streams"] else ""
    return f"""# A network trained on {about["task"]}

`{MODEL}` is the network as StableHLO, `{WEIGHTS}` its {about["parameters"]:,} parameters. With jax, flatbuffers and
safetensors installed, on {", ".join(about["platforms"])}:

```python
{USE}```

{going_on}xs is `{about["xs"]}`: {steps} of sequences B, time first, and `jax.grad`
goes through `model.call`. What the run knew of its data beside the weights (a vocabulary, a mean) is under `assets`
in about.json.

Read back with jax {about["jax"]}, and run on xs {list(checked.shape)} of {about["read back on"]}:
the weights are {told(checked.weights, None)}; the outputs, beside the network's own: {same}.
"""
