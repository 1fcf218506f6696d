"""Cells made of cells: regularisation, a learned start, and other beginnings. Noise is drawn in `project`, so that
every method sees the same; without keys a wrapped cell is evaluated.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Var
from jaxtyping import Array, Float, PRNGKeyArray

from jaxrnn import checks
from jaxrnn.exporting import exportable
from jaxrnn.methods.equations import bind, evaluate, flat_jaxpr, read
from jaxrnn.observer import gates_told, named
from jaxrnn.policy import promote
from jaxrnn.transposable import transposable
from jaxrnn.types import Carry, Cell, Gated, Keys, Linear, Params, Spec, spec, specs_in

# What h may go through on its way to a product: a gate's multiplication, and what changes no number.
ON_THE_WAY = ("mul", "convert_element_type", "reshape", "broadcast_in_dim", "squeeze", "concatenate")


class Learned(NamedTuple):
    """The params of a cell with a learned start."""

    cell: Any
    start: Any  # like the carry of one sequence


def learned_carry(cell: Cell) -> Cell:
    """The carry that `carry(batch_shape, params)` gives, and every reset returns to, is learned; it begins at 0."""
    _is_cell("learned_carry", cell)

    def init(key: PRNGKeyArray) -> Learned:
        params = cell.init(key)
        return Learned(params, cell.carry((), params))

    def carry(batch_shape: tuple[int, ...], params: Learned | None = None) -> Carry:
        if params is None:
            return cell.carry(batch_shape)
        zeros = cell.carry(batch_shape, params.cell)
        # jnp.array copies: were the carry of one sequence the start itself, to donate it would delete the params.
        return jax.tree.map(lambda z, start: jnp.broadcast_to(jnp.array(start, z.dtype), z.shape), zeros, params.start)

    return cell._replace(
        init=init,
        carry=carry,
        project=lambda params, xs, key=None: cell.project(params.cell, xs, key),
        step=lambda params, carry, u: cell.step(params.cell, carry, u),
        fast=_of_inner(cell.fast),
        spec=spec("learned_carry", cell),
    )


def _of_inner(fast: Gated | Linear | None) -> Gated | Linear | None:
    """The same for params that hold the cell's own in their field `cell`."""
    if isinstance(fast, Gated):
        return Gated(
            product=lambda params: fast.product(params.cell),
            gates=lambda small, carry, u, v: fast.gates(small.cell, carry, u, v),
        )
    if isinstance(fast, Linear):
        return fast._replace(
            terms=lambda params, us: fast.terms(params.cell, us),
            output=lambda params, carry, us: fast.output(params.cell, carry, us),
        )
    return None


def zoneout(cell: Cell, h: float = 0.1, c: float = 0.1) -> Cell:
    """Units keep their last state with probability `h`, cell states with `c` (Krueger et al. 2017).

    Without keys the expected state is taken, as in the paper. For cells whose output is their state h. An sLSTM's c
    and n are one state, kept in units of exp(m) that change at every step: c=0 leaves it as it is.
    """
    _is_cell("zoneout", cell)
    _rates("zoneout", h=h, c=c)
    fields = getattr(cell.carry(()), "_fields", ())
    if "h" not in fields:
        raise ValueError(f"zoneout: the cell's carry has {', '.join(fields) or 'no names'}, wanted h among them")
    for made_by in specs_in(cell.spec):
        drops_outputs = made_by.name == "variational_dropout" and dict(made_by.options)["outputs"]
        if made_by.name == "attend" or drops_outputs:
            way_out = f"wanted it around: {made_by.name}(zoneout(cell), ...)"
            raise ValueError(f"zoneout: {made_by.name} gives something else than h, {way_out}")
        if made_by.name == "slstm" and c:
            wanted = "wanted 0 for slstm, whose c is kept in a unit that changes at every step"
            raise ValueError(f"zoneout: c is {c}, {wanted}")
    rates = {name: rate for name, rate in (("h", h), ("c", c)) if name in fields}

    def project(params: Params, xs: Array, key: Keys | None = None) -> tuple[Any, dict[str, Array] | None]:
        mine, theirs = _shared(key)
        us = cell.project(params, xs, theirs)
        if mine is None:
            return us, None
        shapes = jax.eval_shape(lambda: cell.carry(xs.shape[1:-1], params))

        def draw(key: PRNGKeyArray) -> dict[str, Array]:
            each = zip(rates.items(), jax.random.split(key, len(rates)), strict=True)
            return {name: jax.random.bernoulli(k, float(rate), getattr(shapes, name).shape) for (name, rate), k in each}

        return us, jax.vmap(draw)(mine.steps)

    def step(params: Params, carry: Any, moment: tuple[Any, dict[str, Array] | None]) -> tuple[Carry, Array]:
        u, kept = moment
        new, y = cell.step(params, carry, u)
        for name, rate in rates.items():
            old, fresh = getattr(carry, name), getattr(new, name)
            mixed = fresh + rate * (old - fresh) if kept is None else jnp.where(kept[name], old, fresh)
            new = new._replace(**{name: mixed.astype(fresh.dtype)})
        return new, new.h.astype(y.dtype)

    return cell._replace(project=project, step=step, fast=None, spec=spec("zoneout", cell, h=h, c=c))


def variational_dropout(cell: Cell, inputs: float = 0.0, recurrent: float = 0.0, outputs: float = 0.0) -> Cell:
    """Dropout with one draw for a whole sequence, on x, on the h that is fed back, and on y (Gal & Ghahramani 2016).

    h is dropped where it is multiplied by a matrix, and nowhere else: what a gate carries on, as z * h of a GRU, stays.
    Raises ValueError on `recurrent` above 0 for a cell without such a product, one of one's own when it is applied.
    """
    _is_cell("variational_dropout", cell)
    _rates("variational_dropout", inputs=inputs, recurrent=recurrent, outputs=outputs)
    if recurrent and "h" not in getattr(cell.carry(()), "_fields", ()):
        raise ValueError("variational_dropout: the cell's carry has no h, wanted one for recurrent > 0")
    for made_by in specs_in(cell.spec):
        if recurrent and made_by.name in ("attend", "clip_gradient"):
            way_out = f"wanted it around: {made_by.name}(variational_dropout(cell, ...), ...)"
            raise ValueError(f"variational_dropout: {made_by.name} reads h before its cell does, {way_out}")
        if recurrent and (made_by.name == "indrnn" or (isinstance(cell.fast, Linear) and not made_by.children)):
            raise _no_product(made_by.name)

    def project(params: Params, xs: Array, key: Keys | None = None) -> tuple[Any, Array | None, Array | None]:
        mine, theirs = _shared(key)
        if mine is None:
            return cell.project(params, xs, theirs), None, None
        key_x, key_h, key_y = jax.random.split(mine.sequence, 3)
        us = cell.project(params, _dropped(xs, inputs, key_x), theirs)
        before = jax.eval_shape(lambda: cell.carry(xs.shape[1:-1], params))
        moment = jax.tree.map(lambda u: jax.ShapeDtypeStruct(u.shape[1:], u.dtype), us)
        _, y = jax.eval_shape(cell.step, params, before, moment)
        T = xs.shape[0]
        kept_h = _kept(key_h, recurrent, T, before.h.shape) if recurrent else None
        return us, kept_h, _kept(key_y, outputs, T, y.shape) if outputs else None

    def step(params: Params, carry: Any, moment: tuple[Any, Array | None, Array | None]) -> tuple[Carry, Array]:
        u, kept_h, kept_y = moment
        if kept_h is None:
            new, y = cell.step(params, carry, u)
        else:
            new, y = _multiplied(_scaled(carry.h, kept_h, recurrent), cell, params, carry, u)
        return new, y if kept_y is None else _scaled(y, kept_y, outputs)

    made_by = spec("variational_dropout", cell, inputs=inputs, recurrent=recurrent, outputs=outputs)
    return cell._replace(project=project, step=step, fast=None, spec=made_by)


def _multiplied(other: Array, cell: Cell, params: Params, carry: Any, u: Any) -> tuple[Carry, Array]:
    """cell.step(params, carry, u) with `other` in place of carry.h where it enters a product, whole or gated.

    Found in the equations that JAX traces from the step: of each variable that is h on its way to a product there is
    the other one besides, and products alone read it.
    """

    def told(*given: Any) -> tuple[tuple[Carry, Array], dict[str, Array]]:
        with gates_told() as gates:
            return cell.step(*given), gates

    closed = flat_jaxpr(told, params, carry, u)
    jaxpr = closed.jaxpr
    nowhere = jax.tree.map(lambda _: False, (params, carry, u))
    is_h = jax.tree.leaves((nowhere[0], nowhere[1]._replace(h=True), nowhere[2]))
    others: dict[Any, Array] = {v: other for v, h in zip(jaxpr.invars, is_h, strict=True) if h}
    products = 0

    def special(eqn: JaxprEqn, values: list[Any]) -> list[Any] | None:
        nonlocal products
        theirs = [isinstance(v, Var) and v in others for v in eqn.invars]
        is_product = eqn.primitive.name == "dot_general"
        if not any(theirs) or not (is_product or eqn.primitive.name in ON_THE_WAY):
            return None
        changed = bind(eqn, [others[v] if h else value for v, value, h in zip(eqn.invars, values, theirs, strict=True)])
        if is_product:
            products += 1
            return changed
        others[eqn.outvars[0]] = changed[0]
        return None

    given = [*closed.consts, *jax.tree.leaves((params, carry, u))]
    env = evaluate(jaxpr.eqns, dict(zip([*jaxpr.constvars, *jaxpr.invars], given, strict=True)), special)
    if not products:
        raise _no_product(cell.spec.name if cell.spec else "the cell")
    structure = jax.tree.structure(jax.eval_shape(told, params, carry, u))
    outs, gates = structure.unflatten(read(env, v) for v in jaxpr.outvars)
    named(list(gates), list(gates.values()))
    return outs


def _no_product(name: str) -> ValueError:
    return ValueError(f"variational_dropout: {name} multiplies its h by no matrix, wanted recurrent=0")


def clip_gradient(cell: Cell, limit: float) -> Cell:
    """The gradient that flows back through the carry is cut to [-limit, limit] at every step.

    After Graves 2013, section 2.1, who cuts what flows into the sums before the activations and leaves the way along c
    alone. A rule of the backward pass: forward-mode derivatives are those of the cell.
    """
    _is_cell("clip_gradient", cell)
    checks.positive("clip_gradient", limit=limit)

    def cut(_: object, gradient: Carry) -> Carry:
        return jax.tree.map(lambda g: jnp.clip(g, -limit, limit).astype(g.dtype), gradient)

    def clipped(carry: Carry) -> Carry:
        return transposable(lambda _, carry: carry, cut, (), carry, carry)

    def step(params: Params, carry: Carry, u: Any) -> tuple[Carry, Array]:
        return cell.step(params, clipped(carry), u)

    return cell._replace(step=step, fast=None, spec=spec("clip_gradient", cell, limit=limit))


def chrono(cell: Cell, longest: int) -> Cell:
    """Gates begin open for 1 to `longest` steps: b_f = log U(1, longest - 1), b_i = -b_f (Tallec & Ollivier 2018).

    For lstm, and for gru, whose update gate stands for both.
    """
    _is_cell("chrono", cell)
    checks.size("chrono", at_least=3, longest=longest)
    name, options, _ = cell.spec or spec("cell")
    if name not in ("lstm", "gru"):
        raise ValueError(f"chrono: the cell is {name}, wanted lstm or gru")
    article = dict(options).get("form") == "article"  # where z = 1 means new, not old

    def init(key: PRNGKeyArray) -> Params:
        key_cell, key_b = jax.random.split(key)  # fold_in(key, 1) would be the second key that the cell splits from it
        params: Any = cell.init(key_cell)
        n = params.w_h.shape[0]
        open_for = jnp.log(jax.random.uniform(key_b, (n,), params.b.dtype, 1, longest - 1))
        if name == "lstm":
            return params._replace(b=params.b.at[:n].set(-open_for).at[n : 2 * n].set(open_for))
        return params._replace(b=params.b.at[n : 2 * n].set(-open_for if article else open_for))

    return cell._replace(init=init, spec=spec("chrono", cell, longest=longest))


def initialize(cell: Cell, **initializers: Callable[..., Array]) -> Cell:
    """The cell with other beginnings: initialize(lstm(3, 4), w_h=jax.nn.initializers.orthogonal()).

    By the name of a param, f(key, shape, dtype) as in jax.nn.initializers. Each gate's block [n_in, n] is drawn apart:
    orthogonal over the blocks together would leave none so, and variances would count the outputs of all gates. Drawn
    in float32 at least, then rounded. What the cell computes stays, and so does its spec.
    Wrap the cell itself, before other wrappers, whose params may be named otherwise. Raises ValueError on a name that
    the params have not, or that holds nothing; `init` raises it where an initializer gives something else than asked.
    """
    _is_cell("initialize", cell)
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    names = [name for name in getattr(shapes, "_fields", ()) if jax.tree.leaves(getattr(shapes, name))]
    for name, f in initializers.items():
        checks.choice("initialize", "param", name, names)
        if not callable(f):
            given = checks.short(f)
            raise ValueError(f"initialize: {name} is {given}, wanted f(key, shape, dtype) such as jax.nn.initializers'")
    n = _width(cell.spec)

    def drawn(name: str, f: Callable[..., Array], key: PRNGKeyArray, like: Array) -> Array:
        *before, width = like.shape
        blocks = width // n if n and width % n == 0 else 1
        exact, shape = promote(like.dtype, jnp.float32), (*before, width // blocks)
        parts = [f(k, shape, exact) for k in jax.random.split(key, blocks)]
        if any(getattr(part, "shape", None) != shape for part in parts):
            raise ValueError(f"initialize: {name} gives {checks.short(parts[0])}, wanted an array {[*shape]}")
        return jnp.concatenate([part.astype(like.dtype) for part in parts], axis=-1)

    def init(key: PRNGKeyArray) -> Params:
        key, *keys = jax.random.split(key, 1 + len(initializers))
        params: Any = cell.init(key)
        for (name, f), key_f in zip(initializers.items(), keys, strict=True):
            leaves, structure = jax.tree.flatten(getattr(params, name))
            each = zip(jax.random.split(key_f, len(leaves)), leaves, strict=True)
            params = params._replace(**{name: structure.unflatten(drawn(name, f, k, leaf) for k, leaf in each)})
        return params

    return cell._replace(init=init)


def _width(made_by: Spec | None) -> int:
    """The n of a cell, or of the one inside, as far as its spec tells; else 0."""
    if made_by is None:
        return 0
    n = dict(made_by.options).get("n")
    return n if isinstance(n, int) else max(map(_width, made_by.children), default=0)


def _is_cell(owner: str, value: Any) -> None:
    if not isinstance(value, Cell):
        raise ValueError(f"{owner}: cell is a {type(value).__name__}, wanted a Cell such as lstm(n_in, n)")


def _rates(owner: str, **rates: Any) -> None:
    for name, rate in rates.items():
        checks.rate(owner, name, rate)


def _shared(keys: Keys | None) -> tuple[Keys | None, Keys | None]:
    """(keys for this wrapper, keys for the cell inside)."""
    if keys is None:
        return None, None

    def fold(i: int) -> Keys:
        return Keys(jax.random.fold_in(keys.sequence, i), jax.vmap(lambda k: jax.random.fold_in(k, i))(keys.steps))

    return fold(0), fold(1)


def _kept(key: PRNGKeyArray, rate: float, T: int, shape: tuple[int, ...]) -> Array:
    """One draw of what is kept, for every step: [T, *shape]. It travels in us, since the carry holds no constants."""
    return jnp.broadcast_to(jax.random.bernoulli(key, 1 - rate, shape), (T, *shape))


def _scaled(x: Array, kept: Array, rate: float) -> Array:
    return jnp.where(kept, x / (1 - rate), jnp.zeros((), x.dtype))


def _dropped(xs: Float[Array, "T *batch n"], rate: float, key: PRNGKeyArray) -> Float[Array, "T *batch n"]:
    return _scaled(xs, jax.random.bernoulli(key, 1 - rate, xs.shape[1:]), rate) if rate else xs


exportable(__name__)
