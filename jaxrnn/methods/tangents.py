"""The derivative of one moment as a short program, to be run forwards or backwards along time.

Most of a cell is elementwise, and the derivative of an elementwise function is a multiplication by an array. So the
linear equations that JAX derives from a step are gathered into sums of products with such arrays, formed for many
moments at once; what is left in the loop is one multiplication a gate and the products with the weights. Equations
that are not elementwise (the means of layer normalisation, the sums of attention) stay as they are.
"""

import itertools
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array

from jaxrnn.methods.equations import type_of
from jaxrnn.sharding import shaped, zeros

Name = tuple[str, int]  # (kind, number)


class Term(NamedTuple):
    """Columns `start` to `start + width` of a source, times an array over [K, ...] (None: times one)."""

    source: Name
    start: int
    factor: Any


class Piece(NamedTuple):
    """`width` columns of a linear value: the sum of its terms."""

    width: int
    terms: tuple[Term, ...]


Form = list[Piece]


class Let(NamedTuple):
    """A linear value with a name of its own."""

    name: Name
    pieces: Form


class Product(NamedTuple):
    """Source ("v", k) is a_k weights_k, where a_k is `name` (None: no part of it is linear)."""

    k: int
    name: Name | None


class Other(NamedTuple):
    """An equation that is not elementwise; `inputs` are names of linear sources or known arrays over [K, ...]."""

    eqn: JaxprEqn
    inputs: list[tuple[bool, Any]]
    names: list[Name]


class Program(NamedTuple):
    """In order, what to compute; `outputs` are names (None: zero); `avals` the shape of every source."""

    entries: list[Let | Product | Other]
    outputs: list[Name | None]
    out_avals: list[Any]
    avals: dict[Name, Any]


def compose(jaxpr: Jaxpr, constants: Sequence[Array], sources: Sequence[Name], n_products: int) -> Program:
    """The program of a linear jaxpr whose inputs are `sources` and whose outputs begin with the a_k of the products.

    `constants` have a leading axis of moments that the jaxpr does not know of.
    """
    known: dict[Var, Array] = dict(zip(jaxpr.constvars, constants, strict=True))
    avals: dict[Name, Any] = {name: type_of(v) for name, v in zip(sources, jaxpr.invars, strict=True)}
    forms: dict[Var, Form] = {v: whole(name, avals[name]) for name, v in zip(sources, jaxpr.invars, strict=True)}
    products = dict(zip(jaxpr.invars, sources, strict=True))
    a_vars = jaxpr.outvars[:n_products]
    entries: list[Let | Product | Other] = []
    fresh = itertools.count()

    def named(pieces: Form, aval: Any) -> Name:
        """A source that stands for the pieces."""
        if len(pieces) == 1 and len(pieces[0].terms) == 1:
            source, start, factor = pieces[0].terms[0]
            if start == 0 and factor is None and avals[source].shape == aval.shape:
                return source
        name = ("let", next(fresh))
        entries.append(Let(name, pieces))
        avals[name] = aval
        return name

    def whole_of(v: Var) -> Name | None:
        if not any(piece.terms for piece in forms[v]):
            return None
        name = named(forms[v], type_of(v))
        forms[v] = whole(name, type_of(v))
        return name

    def scaled(v: Var, factor: Array, divide: bool = False) -> Form:
        """Each piece of v times its columns of `factor`; a sum is named first, so that it is formed once."""
        for i, piece in enumerate(forms[v]):
            if len(piece.terms) > 1:
                aval = shaped(type_of(v), (*type_of(v).shape[:-1], piece.width))
                forms[v][i] = whole(named([piece], aval), aval)[0]
        offset, out = 0, []
        for piece in forms[v]:
            part = _columns(factor, offset, piece.width)
            part = 1 / part if divide else part
            out.append(Piece(piece.width, tuple(_times(t, part, type_of(v).dtype) for t in piece.terms)))
            offset += piece.width
        return out

    def need(v: Var) -> None:
        """Products are computed when they are first asked for: their operand is ready then."""
        match products.pop(v, None):
            case ("v", k):
                a = a_vars[k]
                entries.append(Product(k, whole_of(a) if isinstance(a, Var) and a in forms else None))

    for eqn in jaxpr.eqns:
        linear = [v for v in eqn.invars if isinstance(v, Var) and v in forms]
        for v in linear:
            need(v)
        out = eqn.outvars[0]
        known_values = [_value(known, v) for v in eqn.invars if not (isinstance(v, Var) and v in forms)]
        name = eqn.primitive.name
        if not any(p.terms for v in linear for p in forms[v]):
            for v in eqn.outvars:
                forms[v] = [Piece(_width(type_of(v).shape), ())]
        elif name in ("add", "add_any") and _alike(linear, out):
            forms[out] = plus(forms[linear[0]], forms[linear[1]] if len(linear) == 2 else [])
        elif name == "sub" and len(linear) == 2 and _alike(linear, out):
            forms[out] = plus(forms[linear[0]], negative(forms[linear[1]], type_of(out).dtype))
        elif name == "neg" and type_of(out).ndim:
            forms[out] = negative(forms[linear[0]], type_of(out).dtype)
        elif name in ("mul", "div") and len(linear) == 1 and _stretches(linear[0], out):
            forms[out] = scaled(linear[0], _ranked(known_values[0], out), divide=name == "div")
        elif name == "select_n" and len(eqn.invars) == 3 and _alike(linear, out):
            where = jnp.asarray(_ranked(known_values[0], out))
            cases = []
            for v, chosen in zip(eqn.invars[1:], (~where, where), strict=True):
                if isinstance(v, Var) and v in forms:
                    cases.append(scaled(v, chosen))
            forms[out] = plus(*cases) if len(cases) == 2 else cases[0]
        elif name == "split" and eqn.params["axis"] == type_of(out).ndim - 1:
            starts = np.cumsum([0, *eqn.params["sizes"][:-1]])
            for v, start in zip(eqn.outvars, starts, strict=True):
                forms[v] = columns(forms[linear[0]], int(start), type_of(v).shape[-1])
        elif name == "slice" and only_columns(eqn, linear[0]):
            forms[out] = columns(forms[linear[0]], eqn.params["start_indices"][-1], type_of(out).shape[-1])
        elif name == "concatenate" and eqn.params["dimension"] == type_of(out).ndim - 1:
            forms[out] = [
                piece
                for v in eqn.invars
                for piece in (forms[v] if isinstance(v, Var) and v in forms else [Piece(type_of(v).shape[-1], ())])
            ]
        elif name == "broadcast_in_dim" and _adds_leading_ones(eqn, linear[0]):
            forms[out] = [*forms[linear[0]]]
        else:
            inputs: list[tuple[bool, Any]] = []
            for v in eqn.invars:
                if isinstance(v, Var) and v in forms:
                    source = whole_of(v)
                    zero = zeros(type_of(v))
                    inputs.append((True, source) if source is not None else (False, (zero, False)))
                else:
                    inputs.append((False, (_value(known, v), isinstance(v, Var) and v in known)))
            names: list[Name] = [("let", next(fresh)) for _ in eqn.outvars]
            entries.append(Other(eqn, inputs, names))
            for v, made in zip(eqn.outvars, names, strict=True):
                avals[made] = type_of(v)
                forms[v] = whole(made, type_of(v))
    for v in [*products]:
        need(v)
    outvars = jaxpr.outvars[n_products:]
    outputs = [whole_of(v) if isinstance(v, Var) and v in forms else None for v in outvars]
    return Program(entries, outputs, [type_of(v) for v in outvars], avals)


def whole(name: Name, aval: Any) -> Form:
    return [Piece(_width(aval.shape), (Term(name, 0, None),))]


def columns(pieces: Form, start: int, width: int) -> Form:
    """The pieces that stand in these columns."""
    out, offset = [], 0
    for piece in pieces:
        low, high = max(start, offset), min(start + width, offset + piece.width)
        if low < high:
            out.append(Piece(high - low, tuple(_cut(term, low - offset, high - low) for term in piece.terms)))
        offset += piece.width
    return out


def plus(a: Form, b: Form) -> Form:
    """The sum, cut where either is."""
    edges = sorted({0, *_edges(a), *_edges(b)})
    out = []
    for low, high in itertools.pairwise(edges):
        terms = [t for form in (a, b) for piece in columns(form, low, high - low) for t in piece.terms]
        merged: dict[Any, Term] = {}
        for term in terms:
            place = term.source, term.start
            if place not in merged:
                merged[place] = term
            elif _is_choice(term.factor) or _is_choice(merged[place].factor):
                merged[*place, len(merged)] = term
            else:
                merged[place] = term._replace(factor=_sum(merged[place].factor, term.factor))
        out.append(Piece(high - low, tuple(merged.values())))
    return out


def negative(pieces: Form, dtype: np.dtype) -> Form:
    return [Piece(p.width, tuple(_times(t, -1.0, dtype) for t in p.terms)) for p in pieces]


def _edges(pieces: Form) -> list[int]:
    return list(itertools.accumulate(piece.width for piece in pieces))


def _cut(term: Term, offset: int, width: int) -> Term:
    return term._replace(start=term.start + offset, factor=_columns(term.factor, offset, width))


def _columns(factor: Any, start: int, width: int) -> Any:
    if factor is None or np.ndim(factor) == 0 or factor.shape[-1] in (1, width):
        return factor
    return factor[..., start : start + width]


def times(a: Any, b: Any) -> Any:
    """a * b for factors; one that is true or false chooses, so that what is not chosen may be NaN."""
    if a is None:
        return b
    if _is_choice(b):
        return a & b if _is_choice(a) else jnp.where(b, a, jnp.zeros((), a.dtype) if hasattr(a, "dtype") else 0.0)
    return times(b, a) if _is_choice(a) else a * b


def _times(term: Term, factor: Any, dtype: np.dtype) -> Term:
    """The term times a factor; where a number is chosen or not, which says no dtype, in that of the linear value."""
    product = times(term.factor, factor)
    return term._replace(factor=product.astype(dtype) if getattr(product, "weak_type", False) else product)


def _is_choice(factor: Any) -> bool:
    return hasattr(factor, "dtype") and factor.dtype == bool


def _sum(a: Any, b: Any) -> Any:
    return (1.0 if a is None else a) + (1.0 if b is None else b)


def _width(shape: tuple[int, ...]) -> int:
    return shape[-1] if shape else 1


def _value(known: dict[Var, Array], v: Var | Literal) -> Any:
    return v.val if isinstance(v, Literal) else known[v]


def _ranked(value: Any, out: Var) -> Any:
    """A known value, over [K, ...] or a number, so that it stretches over [K, *out]."""
    if np.ndim(value) == 0:
        return value if isinstance(value, jax.Array) else np.asarray(value).item()
    return value.reshape(*value.shape, *[1] * type_of(out).ndim) if value.ndim == 1 else value


def _stretches(v: Var, out: Var) -> bool:
    """Whether v has the columns of `out`, and its rows, or one row for them all."""
    shape, wanted = type_of(v).shape, type_of(out).shape
    return bool(shape and wanted) and shape[-1] == wanted[-1] and (shape == wanted or set(shape[:-1]) <= {1})


def _alike(linear: list[Var], out: Var) -> bool:
    return all(_stretches(v, out) for v in linear)


def only_columns(eqn: JaxprEqn, v: Var) -> bool:
    *starts, _ = eqn.params["start_indices"]
    *limits, _ = eqn.params["limit_indices"]
    return eqn.params["strides"] is None and not any(starts) and tuple(limits) == type_of(v).shape[:-1]


def _adds_leading_ones(eqn: JaxprEqn, v: Var) -> bool:
    shape, out = type_of(v).shape, type_of(eqn.outvars[0]).shape
    places = tuple(range(len(out) - len(shape), len(out)))
    return (
        bool(shape) and out == (*[1] * (len(out) - len(shape)), *shape) and eqn.params["broadcast_dimensions"] == places
    )


def reduced(array: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of stretching `shape`: sums over leading axes that it has not, or has as 1."""
    array = array.sum(tuple(range(array.ndim - len(shape)))) if array.ndim > len(shape) else array
    axes = tuple(i for i, (have, want) in enumerate(zip(array.shape, shape, strict=True)) if have != want)
    return array.sum(axes, keepdims=True) if axes else array


def factors(program: Program, without: Container[Name] = ()) -> list[Array]:
    """The arrays over [K, ...] that the program multiplies by, each once; those of terms of some sources left out."""
    found: dict[int, Array] = {}
    for entry in program.entries:
        match entry:
            case Let(_, pieces):
                for term in (term for piece in pieces for term in piece.terms if term.source not in without):
                    if term.factor is not None and np.ndim(term.factor) > 0:
                        found[id(term.factor)] = term.factor
            case Other(_, inputs, _):
                for is_linear, value in inputs:
                    if not is_linear and value[1]:
                        found[id(value[0])] = value[0]
    return list(found.values())


def packed_factors(program: Program) -> dict[Name, Array]:
    """For each source of which terms take every column once: all their factors side by side.

    Backwards, its cotangent is then one product of two long arrays rather than many of short ones.
    """
    terms: dict[Name, list[tuple[int, int, Any]]] = {}
    for entry in program.entries:
        match entry:
            case Let(_, pieces):
                for piece in pieces:
                    for term in piece.terms:
                        terms.setdefault(term.source, []).append((term.start, piece.width, term.factor))
            case Product(_, name) if name is not None:
                terms.setdefault(name, []).append((0, 0, None))
            case Other(_, inputs, _):
                for is_linear, value in inputs:
                    if is_linear:
                        terms.setdefault(value, []).append((0, 0, None))
            case _:
                pass
    for name in program.outputs:
        if name is not None:
            terms.setdefault(name, []).append((0, 0, None))
    return {name: packed for name, each in terms.items() if (packed := _packed(each, program.avals[name])) is not None}


def _packed(terms: list[tuple[int, int, Any]], aval: Any) -> Array | None:
    each = sorted(terms, key=lambda term: term[0])
    starts = [start for start, _, _ in each]
    ends = list(itertools.accumulate(width for _, width, _ in each))
    factors = [factor for *_, factor in each]
    side_by_side = len(each) > 1 and starts == [0, *ends[:-1]] and (*aval.shape[-1:],) == (ends[-1],)
    if not side_by_side or any(np.ndim(f) == 0 or f is None or _is_choice(f) for f in factors):
        return None
    full = all(f.shape[1:] == (*aval.shape[:-1], width) for (_, width, f) in each)
    return jnp.concatenate(factors, axis=-1) if full else None
