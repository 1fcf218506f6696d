"""What JAX may do to a layer: one check a transformation, held for every row of TESTED and every method that serves it.

README's table is made from the two tables here, CHECKS and NOTES, whose every entry test_transforms.py tries:

    python tests/transformations.py        writes it
"""

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import conftest  # noqa: F401  # before jax: float64 and two devices, also where this file is run by itself
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tiny import DERIVED, NOISY, TESTED, B, applied, close, example, loss, loss_and_grads, pairs_of

import jaxrnn

EPS = 1e-5  # of central differences
ALONG_BATCH = P(None, "data")  # of [T, *batch, ...]
NUMERIC = 1e-7  # their tolerance: EPS squared, times what third derivatives amount to here


def under_jit(name: str, method: str) -> None:
    """Called eagerly it gives the same."""
    e = example(name)
    close(layer_of(name, method).apply(e.params, e.carry, e.xs, **e.where), applied(name, method)(*e.arguments))


def mapped_over_batch(name: str, method: str) -> None:
    """vmap over sequences equals the batch; under noise, each sequence alone, with a key of its own."""
    e = example(name)
    if e.key is None:
        one = jax.jit(jax.vmap(applied(name, method), (None, 0, 1, 1, 1), (0, 1)))
        return close(one(*e.arguments), applied(name, method)(*e.arguments))
    layer, keys = layer_of(name, method), jax.random.split(e.key, B)

    @jax.jit
    def alone(key, carry, xs):
        return layer.apply(e.params, carry, xs, key=key)

    sequences = [alone(keys[k], jax.tree.map(lambda a: a[k], e.carry), e.xs[:, k]) for k in range(B)]
    carry, ys = jax.jit(jax.vmap(alone, (0, 0, 1)))(keys, e.carry, e.xs)
    return close((carry, ys), jax.tree.map(lambda *a: jnp.stack(a), *sequences))


def mapped_over_seeds(name: str, method: str) -> None:
    """vmap over `init` gives an ensemble, and vmap over its params what the members give."""
    e = example(name)
    members, ensemble = seeds(name)
    together = jax.jit(jax.vmap(applied(name, method), (0, None, None, None, None)))(ensemble, *e.arguments[1:])
    alone = [applied(name, method)(params, *e.arguments[1:]) for params in members]
    close(together, jax.tree.map(lambda *a: jnp.stack(a), *alone))


def under_grad(name: str, method: str) -> None:
    """Central differences agree, and so does `scan`, far more closely."""
    e, v = example(name), direction(name)
    gradient, wanted = (loss_and_grads(name, m)(*e.arguments)[1] for m in (method, "scan"))
    close(gradient, wanted, DERIVED)
    if name != "clip_gradient":  # whose gradient is not the derivative
        close(change(name, method)[0], inner(gradient, v), NUMERIC)


def under_jvp(name: str, method: str) -> None:
    """The derivative along v is the gradient's share along v."""
    f, x, v = loss_of(name, method), example(name).arguments[:3], direction(name)
    _, along = jax.jit(lambda x, v: jax.jvp(f, x, v))(x, v)
    if name == "clip_gradient":  # whose gradient is not the derivative
        return close(along, change(name, method)[0], NUMERIC)
    return close(along, inner(loss_and_grads(name, method)(*example(name).arguments)[1], v), DERIVED)


def under_hessian(name: str, method: str) -> None:
    """Forward over reverse, as jax.hessian has it, times v, whole: as central differences of the gradient say."""
    f, x, v = loss_of(name, method), example(name).arguments[:3], direction(name)

    @jax.jit
    def product(x, v):
        return jax.jacfwd(lambda s: jax.grad(f, (0, 1, 2))(*jax.tree.map(lambda x, v: x + s * v, x, v)))(0.0)

    close(product(x, v), change(name, method)[1], NUMERIC)


def under_grad_of_jvp(name: str, method: str) -> None:
    """Reverse over forward gives that product too."""
    f, x, v = loss_of(name, method), example(name).arguments[:3], direction(name)
    product = jax.jit(jax.grad(lambda x, v: jax.jvp(f, x, v)[1]))(x, v)
    if name == "clip_gradient":  # which cuts what flows back through the derivative, part by part: no Hessian
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(product))
        return
    close(product, change(name, method)[1], NUMERIC)


def under_checkpoint(name: str, method: str) -> None:
    """jax.checkpoint around the layer changes neither loss nor gradients."""
    e, layer = example(name), layer_of(name, method)
    remembered = layer._replace(apply=jax.checkpoint(layer.apply))  # pyright: ignore[reportPrivateImportUsage]
    close(value_and_grads(name, remembered), loss_and_grads(name, method)(*e.arguments), DERIVED)


def in_chunks(name: str, method: str) -> None:
    """checkpoint= changes neither loss nor gradients; chunks know nothing of reverse, nor methods of each other's."""
    reverse, checkpoint = {"scan": (True, 3), "fused": (False, 2), "associative": (False, "sqrt")}[method]  # T is 5
    arguments = example(name).arguments
    got = loss_and_grads(name, method, reverse, checkpoint)(*arguments)
    close(got, loss_and_grads(name, "scan", reverse)(*arguments), DERIVED)


def exported(name: str, method: str) -> None:
    """T and batch stay symbolic on the way through a file; the loop is scan's; checkpoint= is refused."""
    e = example(name)
    t, b = jax.export.symbolic_shape("T, B")

    def shaped(tree: Any, *axes: Any) -> Any:
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*axes, *a.shape[len(axes) :]), a.dtype), tree)

    shapes = shaped(e.params), shaped(e.carry, b), *shaped((e.xs, e.mask, e.reset), t, b), shaped(e.key)

    def export(checkpoint: int | None) -> Any:
        apply = jaxrnn.unroll(e.cell, method, checkpoint=checkpoint).apply
        f = jax.jit(
            lambda params, carry, xs, mask, reset, key: apply(params, carry, xs, mask=mask, reset=reset, key=key)
        )
        return jax.export.export(f)(*shapes)

    written = export(None)
    assert "stablehlo.while" in written.mlir_module()
    close(jax.export.deserialize(written.serialize()).call(*e.arguments, e.key), applied(name, method)(*e.arguments))
    with pytest.raises(ValueError, match="checkpoint: T is symbolic, wanted a number to cut into chunks"):
        export(2)


def on_two_devices(name: str, method: str) -> None:
    """shard_map over the batch equals one device, and devices speak to each other outside the loops alone."""
    e, layer = example(name), layer_of(name, method)
    f = sharded_loss_and_grads(layer, e.key)
    compiled = f.lower(*e.arguments).compile()
    got = compiled(*e.arguments)
    if e.key is None:
        close(got, loss_and_grads(name, method)(*e.arguments), DERIVED)
    else:
        close(got, value_and_grads(name, layer._replace(apply=functools.partial(by_halves, layer))), DERIVED)
    assert_reduces_outside_loops(compiled.as_text())


CHECKS: dict[str, Callable[[str, str], None]] = {
    "`jit`": under_jit,
    "`vmap` over batch": mapped_over_batch,
    "`vmap` over params, seeds": mapped_over_seeds,
    "`grad`": under_grad,
    "`jvp`": under_jvp,
    "`hessian`": under_hessian,
    "`grad` of `jvp`": under_grad_of_jvp,
    "`jax.checkpoint`": under_checkpoint,
    "`checkpoint=`": in_chunks,
    "`jax.export`": exported,
    "`shard_map`": on_two_devices,
}


def note(name: str, column: str) -> str | None:
    """What README says of this entry beside its yes."""
    if column == "`jax.export`":
        return (
            "with a symbolic T, whatever the method, by `scan`; there `checkpoint=` is refused in one sentence, as its "
            "chunks need a number"
        )
    if name == "clip_gradient" and column in ("`jvp`", "`grad` of `jvp`"):
        return (
            "forward mode is the cell's own, uncut: the rule is one of the backward pass, also of that of `jvp`, so "
            "that `grad` of `jvp` is no Hessian"
        )
    if name in NOISY and column == "`vmap` over batch":
        return "with a key for each sequence: with one key for all, each draws the same noise"
    if name in NOISY and column == "`shard_map`":
        return "from one key each device draws the same noise for its part of the batch; fold in `axis_index` first"
    return None


# -- what the checks share


@functools.cache
def layer_of(name: str, method: str) -> jaxrnn.Layer:
    return jaxrnn.unroll(example(name).cell, method)


@functools.cache
def seeds(name: str) -> tuple[list[Any], Any]:
    """(two members, the ensemble of both), made by their keys; the first is what `init` makes of its key alone."""
    cell, key = example(name).cell, jax.random.key(3)
    ensemble = jax.jit(jax.vmap(cell.init))(jnp.stack([key, jax.random.key(4)]))
    members = [jax.tree.map(lambda a, k=k: a[k], ensemble) for k in range(2)]
    close(members[0], cell.init(key))
    return members, ensemble


def loss_of(name: str, method: str) -> Callable[..., Any]:
    """f(params, carry, xs), the loss."""
    e = example(name)
    return functools.partial(loss, layer_of(name, method), **e.where)


@functools.cache
def direction(name: str) -> Any:
    """A direction v for params, carry and xs."""
    numbers = np.random.default_rng(8)
    return jax.tree.map(lambda a: numbers.normal(size=a.shape) / 10, example(name).arguments[:3])


@functools.cache
def change(name: str, method: str) -> Any:
    """The derivatives along v of the loss and of its gradient, by central differences."""
    x, e = example(name).arguments[:3], example(name)

    def moved(step: float) -> Any:
        there = jax.tree.map(lambda a, b: np.asarray(a) + step * b, x, direction(name))
        return loss_and_grads(name, method)(*there, e.mask, e.reset)

    return jax.tree.map(lambda a, b: (np.asarray(a) - np.asarray(b)) / (2 * EPS), moved(EPS), moved(-EPS))


def inner(a: Any, b: Any) -> Any:
    return sum(np.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def value_and_grads(name: str, layer: jaxrnn.Layer) -> Any:
    e = example(name)
    f = jax.jit(jax.value_and_grad(lambda *a: loss(layer, *a, **e.where), (0, 1, 2)))
    return f(e.params, e.carry, e.xs)


def by_halves(layer: jaxrnn.Layer, params: Any, carry: Any, xs: Any, *, key: Any, mask: Any, reset: Any) -> Any:
    """The layer on each half of the batch, as each of two devices has it, with the same key."""

    def half(k: int) -> Any:
        mine = slice(k * B // 2, (k + 1) * B // 2)
        part = jax.tree.map(lambda a: a[mine], carry)
        return layer.apply(params, part, xs[:, mine], key=key, mask=mask[:, mine], reset=reset[:, mine])

    (carry_0, ys_0), (carry_1, ys_1) = half(0), half(1)
    return jax.tree.map(lambda *a: jnp.concatenate(a), carry_0, carry_1), jnp.concatenate([ys_0, ys_1], 1)


def sharded_loss_and_grads(layer: jaxrnn.Layer, key: Any = None, ys: Any = ALONG_BATCH) -> Any:
    """f(params, carry, xs, mask, reset), jitted: the loss of the layer sharded over two devices, and its gradients.

    `ys` says where the batch stands in what the layer gives.
    """
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def apply(params: Any, carry: Any, xs: Any, *, key: Any, mask: Any, reset: Any) -> Any:
        def local(params: Any, carry: Any, xs: Any, mask: Any, reset: Any) -> Any:
            return layer.apply(params, carry, xs, key=key, mask=mask, reset=reset)

        parts = P(), P("data"), ALONG_BATCH, ALONG_BATCH, ALONG_BATCH
        sharded = jax.shard_map(local, mesh=mesh, in_specs=parts, out_specs=(P("data"), ys))
        return sharded(params, carry, xs, mask, reset)

    def total(params: Any, carry: Any, xs: Any, mask: Any, reset: Any) -> Any:
        return loss(layer._replace(apply=apply), params, carry, xs, mask, reset, key)

    return jax.jit(jax.value_and_grad(total, (0, 1, 2)))


def assert_reduces_outside_loops(hlo: str) -> None:
    """The parameters' gradients are summed over the devices, and nothing is sent from within a loop."""
    computations = re.split(r"\n(?=%|ENTRY)", hlo)
    sending = [c.split()[0] for c in computations if any(f" {op}" in c for op in COLLECTIVES)]
    assert sending == ["ENTRY"], sending


COLLECTIVES = ("all-reduce(", "all-gather(", "all-to-all(", "collective-permute(", "reduce-scatter(")


# -- README's table

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- python tests/transformations.py -->\n\n", "\n<!-- end -->"


def table() -> str:
    """Markdown: a row for the cells and methods of which the same is said, a column a transformation."""
    texts = dict.fromkeys(said for name in TESTED for column in CHECKS if (said := note(name, column)))
    number = {text: k for k, text in enumerate(texts, 1)}

    def entry(name: str, column: str) -> str:
        said = note(name, column)
        return "yes" if said is None else f"yes [{number[said]}]"

    rows: dict[tuple[Any, ...], list[str]] = {}
    methods: dict[str, list[str]] = {}
    for name, method in pairs_of(TESTED):
        methods.setdefault(name, []).append(method)
    for name, serving in methods.items():
        rows.setdefault((serving_text(serving), *(entry(name, column) for column in CHECKS)), []).append(name)
    lines = [row("cells", "methods", *CHECKS), row(*["---"] * (len(CHECKS) + 2))]
    lines += [row(", ".join(names), *entries) for entries, names in rows.items()]
    return "\n".join([*lines, "", *(f"[{k}] {text}.  " for text, k in number.items())]) + "\n"


def serving_text(methods: Iterable[str]) -> str:
    return ", ".join(f"`{method}`" for method in methods)


def row(*entries: str) -> str:
    return f"| {' | '.join(entries)} |"


def with_table(readme: str) -> str:
    """README with the table in its place."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
