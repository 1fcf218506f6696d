"""The derivative of a loop of steps, forwards and backwards along time, from what was kept of each moment."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Var
from jaxtyping import Array

from jaxrnn.methods.equations import Equations, bind, evaluate, flat_jaxpr, live, read, recalled
from jaxrnn.methods.scan import steps_an_iteration
from jaxrnn.methods.tangents import (
    Form,
    Let,
    Name,
    Other,
    Product,
    Program,
    compose,
    factors,
    only_columns,
    packed_factors,
    reduced,
    times,
)
from jaxrnn.policy import may_merge, merged
from jaxrnn.sharding import shaped, zeros

KINDS = ("small", "carry", "u", "v")  # of linear sources


class Derivative:
    """The linear program of a step's derivative, and what of every moment it needs.

    Linear sources are named ("small", i), ("carry", i), ("u", i) and ("v", k); those that are not floats are left out.
    """

    def __init__(self, equations: Equations, weights: Any, small: Any, carry: Any, us: Any) -> None:
        self.equations = equations
        self.K = us[0].shape[0]
        u = [shaped(jax.typeof(u), u.shape[1:]) for u in us]
        vs, squashed = equations.inner_types(weights, small, carry, u)
        given = {"small": small, "carry": carry, "u": u, "v": vs, "squashed": squashed}
        self.sources = [(kind, i) for kind in KINDS for i, leaf in enumerate(given[kind]) if is_float(leaf)]
        self.local = flat_jaxpr(self._local, *given.values())
        self.eqns, used = live(self.local.jaxpr)
        flags, variables = iter(used), iter(self.local.jaxpr.invars)
        self.used = {kind: [next(flags) for _ in leaves] for kind, leaves in given.items()}
        self.vars = {kind: [next(variables) for _ in leaves] for kind, leaves in given.items()}
        self.columns = {v: columns_read(v, self.eqns) for v in self.vars["v"]}

    def chosen(self, kind: str, leaves: Sequence[Any]) -> list[Any]:
        """Those of a kind that the derivative needs."""
        return [leaf for leaf, used in zip(leaves, self.used[kind], strict=True) if used]

    def chosen_columns(self, vs: Sequence[Array]) -> list[Array]:
        """Of the v_k that the derivative needs, the columns that it reads: of a GRU's, those of n."""
        columns = (self.columns[v] for v in self.chosen("v", self.vars["v"]))
        return [v[..., slice(*some)] if some else v for v, some in zip(self.chosen("v", vs), columns, strict=True)]

    def _local(self, *given: list[Array]) -> tuple[list[Array], list[Array]]:
        """(the constants of the linear equations, the a_k) of one moment; the equations are noted in passing."""
        *first, squashed = given
        values = {(kind, i): a for kind, leaves in zip(KINDS, first, strict=True) for i, a in enumerate(leaves)}

        def step(linear: list[Array]) -> tuple[list[Array], list[Array]]:
            now = values | dict(zip(self.sources, linear, strict=True))
            small, carry, u, vs = ([a for (kind, _), a in now.items() if kind == wanted] for wanted in KINDS)
            operands: list[Array] = []

            def product(k: int, a: Array) -> Array:
                operands.append(a)
                return vs[k]

            outs = self.equations.run(small, carry, u, product, lambda k, name, x: recalled(name, x, squashed[k]))
            return operands, [out for out in outs if is_float(out)]

        start = [values[name] for name in self.sources]
        (operands, _), derivative = jax.linearize(step, start)
        linear = flat_jaxpr(derivative, start)
        self.linear = linear.jaxpr
        return linear.consts, operands

    def program(self, small: Any, kept: dict[str, list[Array]]) -> tuple[Program, list[Array]]:
        """(the program of K moments at once, their a_k)."""

        def one(small: Any, kept: dict[str, list[Array]]) -> list[Array]:
            jaxpr = self.local.jaxpr
            known = dict(zip(jaxpr.constvars, self.local.consts, strict=True))
            known |= dict(zip(self.vars["small"], small, strict=True))
            for kind, leaves in kept.items():
                known |= dict(zip(self.chosen(kind, self.vars[kind]), leaves, strict=True))
            env = evaluate(self.eqns, known, self._of_columns)
            return [read(env, v) for v in jaxpr.outvars]

        made = jax.vmap(one, (None, 0), axis_size=self.K)(small, kept)
        n = len(self.linear.constvars)
        return compose(self.linear, made[:n], self.sources, len(self.equations.weight_vars)), made[n:]

    def _of_columns(self, eqn: JaxprEqn, values: list[Any]) -> list[Any] | None:
        """A slice of some v_k, of which the columns that are read have been kept."""
        some = self.columns.get(eqn.invars[0]) if eqn.primitive.name == "slice" else None
        if not some:
            return None
        start, stop = (eqn.params[name][-1] - some[0] for name in ("start_indices", "limit_indices"))
        return [values[0][..., start:stop]]

    def forwards(self, residuals: Any, tangents: tuple[list[Array], ...]) -> list[Array]:
        """The tangents of [*carry, *ys] from those of (weights, small, carry, us)."""
        weights, small, kept = residuals
        dweights, dsmall, dcarry, dus = tangents
        program, operands = self.program(small, kept)
        along = jax.vmap(self.equations.product, (None, 0, None))
        injected = [along(k, a, dw) for k, (a, dw) in enumerate(zip(operands, dweights, strict=True))]
        arrays = factors(program)

        def body(dcarry: list[Array], moment: Any) -> tuple[list[Array], list[Array]]:
            du, now_injected, now = moment
            at = {id(array): part for array, part in zip(arrays, now, strict=True)}
            env = dict(zip(self.sources, [*dsmall, *dcarry, *du], strict=False))
            for entry in program.entries:
                match entry:
                    case Let(name, pieces):
                        env[name] = _formed(pieces, env, at, program.avals[name])
                    case Product(k, name):
                        past = 0 if name is None else self.equations.product(k, env[name], weights[k])
                        env["v", k] = now_injected[k] + past
                    case Other(eqn, inputs, names):
                        values = [env[v] if is_linear else _now(v, at) for is_linear, v in inputs]
                        env.update(zip(names, bind(eqn, values), strict=True))
            outs = [
                zeros(aval) if name is None else env[name]
                for name, aval in zip(program.outputs, program.out_avals, strict=True)
            ]
            return outs[: len(dcarry)], outs[len(dcarry) :]

        carry, ys = jax.lax.scan(body, list(dcarry), (list(dus), injected, arrays), length=self.K)
        return [*carry, *ys]

    def backwards(self, residuals: Any, cotangents: list[Array]) -> tuple[list[Array], ...]:
        """The cotangents of (weights, small, carry, us) from those of [*carry, *ys]."""
        weights, small, kept = residuals
        program, operands = self.program(small, kept)
        carries = [name for name in self.sources if name[0] == "carry"]
        outside = [name for name in self.sources if name[0] in ("small", "u")]
        inside = [name for name in program.avals if name not in outside]
        packed = packed_factors(program)
        arrays = [*factors(program, without={*outside, *packed}), *packed.values()]
        turned = [jnp.swapaxes(w, 0, 1) if self.equations.is_plain(k) else w for k, w in enumerate(weights)]
        dcarry, dys = cotangents[: len(carries)], cotangents[len(carries) :]
        summed = [name for name in outside if name[0] == "small"]
        stacked: dict[Name, Place] = {}  # where, in what the loop stacks, each name's cotangent stands

        def body(state: tuple[list[Array], list[Array]], moment: Any) -> tuple[Any, list[Array]]:
            (after, sums), (cts, now) = state, moment
            at = {id(array): part for array, part in zip(arrays, now, strict=True)}
            owed = Owed(program.avals, inside, packed={name: at[id(a)] for name, a in packed.items()})
            self._step_back(program, turned, [*after, *cts], at, owed)
            before = [owed.total(name) for name in carries]
            # What equations that are not elementwise owe the params is summed here: it may be as large as they are.
            sums = [a + owed.total(name) if name in owed.parts else a for name, a in zip(summed, sums, strict=True)]
            return (before, sums), _to_stack(program, owed, outside, stacked)

        start = list(dcarry), [zeros(program.avals[name]) for name in summed]
        (dcarry, sums), lists = jax.lax.scan(
            body, start, (list(dys), arrays), reverse=True, length=self.K, unroll=steps_an_iteration(self.K, dcarry)
        )

        along = [name for name in outside if name[0] == "u"]
        owed = Owed(program.avals | {name: _over(self.K, program.avals[name]) for name in along}, outside, along=along)
        for name, a in zip(summed, sums, strict=True):
            owed.add(name, 0, a)
        for name in along:
            if name in stacked:
                owed.add(name, 0, stacked[name].of(lists))
        for entry in program.entries:
            if isinstance(entry, Let) and entry.name in stacked:
                owed.hand_back(entry.pieces, stacked[entry.name].of(lists), {})
        dweights = [
            self._weight_gradient(k, operands[k], weight, stacked["v", k].of(lists) if ("v", k) in stacked else None)
            for k, weight in enumerate(weights)
        ]
        dsmall, dus = ([owed.total(name) for name in outside if name[0] == kind] for kind in ("small", "u"))
        return dweights, dsmall, dcarry, dus

    def _step_back(
        self, program: Program, turned: list[Array], cts: list[Array], at: dict[int, Any], owed: "Owed"
    ) -> None:
        """What a moment owes every name: the program from its outputs to its sources."""
        for name, ct in zip(program.outputs, cts, strict=True):
            if name is not None:
                owed.add(name, 0, ct)
        for entry in reversed(program.entries):
            match entry:
                case Let(name, pieces) if name in owed.parts:
                    owed.hand_back(pieces, owed.total(name), at)
                case Product(k, name) if ("v", k) in owed.parts:
                    ct = owed.total(("v", k))
                    if name is not None:
                        owed.add(name, 0, self._product_back(k, ct, turned[k], program.avals[name]))
                case Other(eqn, inputs, names) if any(name in owed.parts for name in names):
                    linear = [name for is_linear, name in inputs if is_linear]
                    back = jax.linear_transpose(_of_linear(eqn, inputs, at), *(program.avals[n] for n in linear))
                    for name, ct in zip(linear, back([owed.total(name) for name in names]), strict=True):
                        owed.add(name, 0, ct)
                case _:
                    pass

    def _product_back(self, k: int, ct: Array, turned: Array, aval: Any) -> Array:
        """The cotangent of a_k; a plain weight comes transposed: so laid out, a CPU takes a quarter less."""
        weight = jnp.swapaxes(turned, 0, 1) if self.equations.is_plain(k) else turned
        return jax.linear_transpose(lambda a: self.equations.product(k, a, weight), aval)(ct)[0]

    def _weight_gradient(self, k: int, operands: Array, weight: Array, ct: Array | None) -> Array:
        """One product over all moments."""
        if ct is None:
            return zeros(jax.typeof(weight))
        if self.equations.is_plain(k) and may_merge(operands):
            function, operands, ct = self.equations.of_rows, merged(operands), merged(ct)
        else:
            function = jax.vmap(self.equations.product, (None, 0, None))
        return jax.linear_transpose(lambda w: function(k, operands, w), weight)(ct)[0]


class Place(NamedTuple):
    """Columns of one of the arrays that a loop stacks; None: all of them."""

    number: int
    columns: slice | None

    def of(self, lists: list[Array]) -> Array:
        return lists[self.number] if self.columns is None else lists[self.number][..., self.columns]


class Owed:
    """Cotangents on their way back: for every name, parts at their columns, to be summed.

    Of what forms owe, what they owe to `ours` counts: in the loop that is all but what large operations do after it,
    for some names `along` the moments. What is owed to a name that is `packed` is multiplied by its factors at once.
    """

    def __init__(
        self,
        avals: dict[Name, Any],
        ours: Sequence[Name],
        packed: dict[Name, Array] | None = None,
        along: Sequence[Name] = (),
    ) -> None:
        self.avals = avals
        self.packed = packed or {}
        self.ours = ours
        self.along = along
        self.parts: dict[Name, list[tuple[int, Array]]] = {}
        self.totals: dict[Name, Array] = {}

    def add(self, name: Name, start: int, ct: Array) -> None:
        """A part, summed over the rows that its source was stretched to."""

        def stretched(ct: Array, shape: tuple[int, ...]) -> Array:
            return reduced(ct, (*shape[:-1], *ct.shape[-1:]) if shape else ())

        shape = self.avals[name].shape
        part = jax.vmap(lambda ct: stretched(ct, shape[1:]))(ct) if name in self.along else stretched(ct, shape)
        self.parts.setdefault(name, []).append((start, part))

    def hand_back(self, pieces: Form, ct: Array, at: dict[int, Any]) -> None:
        """To each term of a form its share of the form's own."""
        offset = 0
        for piece in pieces:
            part = ct if piece.width == ct.shape[-1] else ct[..., offset : offset + piece.width]
            offset += piece.width
            for source, start, factor in piece.terms:
                if source in self.ours:
                    whole = factor is None or source in self.packed
                    self.add(source, start, part if whole else times(part, _factor(factor, at)))

    def total(self, name: Name) -> Array:
        """The sum of the parts, zeros where there are none; formed once."""
        if name not in self.totals:
            total = _assembled(self.parts.get(name, []), self.avals[name])
            factor = self.packed.get(name)
            self.totals[name] = total if factor is None else total * factor
        return self.totals[name]

    def place_of(self, name: Name, among: list[Name]) -> tuple[Name, int] | None:
        """Where the total of a name stands alone in that of another."""
        ct = self.totals[name]
        for other in among:
            for start, part in self.parts[other] if self.avals[other].shape else ():
                stop = start + part.shape[-1]
                if part is ct and sum(s < stop and start < s + p.shape[-1] for s, p in self.parts[other]) == 1:
                    return other, start
        return None


def _to_stack(program: Program, owed: Owed, outside: list[Name], stacked: dict[Name, Place]) -> list[Array]:
    """The cotangents that are needed after the loop; their places are noted in `stacked`."""
    lists: list[Array] = []

    def stack(name: Name) -> None:
        stacked[name] = Place(len(lists), None)
        lists.append(owed.total(name))

    products = [("v", e.k) for e in program.entries if isinstance(e, Product) and ("v", e.k) in owed.parts]
    for name in products:
        stack(name)
    for entry in program.entries:
        if isinstance(entry, Let) and entry.name in owed.totals and _reads(entry, outside):
            place = owed.place_of(entry.name, products)
            if place is None:
                stack(entry.name)
            else:
                product, start = place
                stop = start + program.avals[entry.name].shape[-1]
                stacked[entry.name] = Place(stacked[product].number, slice(start, stop))
    for name in outside:
        if name[0] == "u" and name in owed.parts:
            stack(name)
    return lists


def columns_read(v: Var, eqns: Sequence[JaxprEqn]) -> tuple[int, int] | None:
    """From the first to behind the last column that slices read; None where anything else reads it."""
    reads = [eqn for eqn in eqns if v in eqn.invars]
    if not reads or not all(eqn.primitive.name == "slice" and only_columns(eqn, v) for eqn in reads):
        return None
    return min(e.params["start_indices"][-1] for e in reads), max(e.params["limit_indices"][-1] for e in reads)


def is_float(a: Any) -> bool:
    return jnp.issubdtype(a.dtype, jnp.inexact)


def _reads(entry: Let, names: list[Name]) -> bool:
    return any(term.source in names for piece in entry.pieces for term in piece.terms)


def _over(K: int, aval: Any) -> Any:
    return shaped(aval, (K, *aval.shape))


def _of_linear(eqn: Any, inputs: list[tuple[bool, Any]], at: dict[int, Any]) -> Callable[..., list[Array]]:
    """The equation as a function of its linear inputs."""

    def function(*values: Array) -> list[Array]:
        left = iter(values)
        return bind(eqn, [next(left) if is_linear else _now(value, at) for is_linear, value in inputs])

    return function


def _now(value: tuple[Any, bool], at: dict[int, Any]) -> Any:
    array, over_moments = value
    return at[id(array)] if over_moments else array


def _factor(factor: Any, at: dict[int, Any]) -> Any:
    """The factor's part of this moment, or itself where it is a number or the moments are all at hand."""
    return at.get(id(factor), factor)


def _formed(pieces: Form, env: dict[Name, Array], at: dict[int, Any], aval: Any) -> Array:
    """The value of a linear form."""
    parts = []
    for piece in pieces:
        total = zeros(shaped(aval, (*aval.shape[:-1], piece.width)))
        for source, start, factor in piece.terms:
            a = env[source]
            a = a if a.shape[-1] == piece.width else a[..., start : start + piece.width]
            total = total + (a if factor is None else times(a, _factor(factor, at)))
        parts.append(total)
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, -1)


def _assembled(parts: list[tuple[int, Array]], aval: Any) -> Array:
    """The sum of parts that stand at different columns."""
    shape = aval.shape
    width = shape[-1] if shape else 1
    if all(not shape or a.shape[-1] == width for _, a in parts):
        return sum((a for _, a in parts[1:]), parts[0][1]) if parts else zeros(aval)
    edges = sorted({0, width, *(e for start, a in parts for e in (start, start + a.shape[-1]))})
    columns = []
    for low, high in itertools.pairwise(edges):
        here = [
            a[..., low - s : high - s] if a.shape[-1] != high - low else a
            for s, a in parts
            if s <= low and high <= s + a.shape[-1]
        ]
        columns.append(sum(here[1:], here[0]) if here else zeros(shaped(aval, (*shape[:-1], high - low))))
    return columns[0] if len(columns) == 1 else jnp.concatenate(columns, -1)
