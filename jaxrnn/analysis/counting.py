"""The work in what JAX traces: every cell is counted from its equations, without a formula of its own.

A loop's work counts as often as it runs; of a branch, the costlier side; a `while` whose length is not known, once.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

ARITHMETIC = {"add", "add_any", "sub", "mul", "div", "neg", "max", "min", "abs", "sign", "rem", "clamp", "select_n"}
ARITHMETIC |= {"integer_pow", "square"}
TRANSCENDENTAL = {
    "tanh",
    "logistic",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "rsqrt",
    "cbrt",
    "pow",
    "sin",
    "cos",
}
TRANSCENDENTAL |= {"tan", "erf", "erf_inv", "atan2"}
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "cumsum"}
LOOKUPS = {"gather", "scatter", "scatter-add"}


class Work(NamedTuple):
    """What a function does."""

    products: float = 0  # floating-point operations of matrix products; a multiply-add counts as two
    elementwise: float = 0  # additions, multiplications, choices and reductions, one a number
    transcendental: float = 0  # values of tanh, exp, ..., one a number
    bytes: float = 0  # see `count`

    @property
    def flops(self) -> float:
        return self.products + self.elementwise + self.transcendental


def count(function: Callable[..., Any], *arguments: Any) -> Work:
    """The Work of function(*arguments), which is traced and not run; arrays or jax.ShapeDtypeStruct.

    Bytes are those that products and lookups read and write, and what a loop hands on and reads and writes at each
    step. What is done elementwise in between is taken as fused with them: it moves nothing of its own.
    """
    return _of(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of(jaxpr: Any) -> Work:
    return _sum(_equation(eqn) for eqn in jaxpr.eqns)


def _equation(eqn: Any) -> Work:
    name, inner = eqn.primitive.name, list(jaxprs_in_params(eqn.params))
    outs = [v.aval for v in eqn.outvars]
    size = sum(math.prod(aval.shape) for aval in outs if jnp.issubdtype(aval.dtype, jnp.inexact))
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        left = eqn.invars[0].aval.shape
        terms = math.prod(left[axis] for axis in contracted)
        return Work(products=2 * terms * math.prod(outs[0].shape), bytes=_bytes([*eqn.invars, *eqn.outvars]))
    if name == "scan":
        (body,) = inner
        step = _of(body)
        moved = _bytes([*body.invars[_constants(eqn, body) :], *body.outvars])
        return Work(*(eqn.params["length"] * each for each in step._replace(bytes=step.bytes + moved)))
    if name == "cond":
        return max(map(_of, inner), key=lambda work: (work.flops, work.bytes))
    if name in LOOKUPS:
        return Work(bytes=2 * _bytes(eqn.outvars) if name == "gather" else 3 * _bytes(eqn.invars[-1:]))
    if name in REDUCTIONS:
        return Work(elementwise=math.prod(eqn.invars[0].aval.shape))
    own = Work(elementwise=size if name in ARITHMETIC else 0, transcendental=size if name in TRANSCENDENTAL else 0)
    return _sum([own, *map(_of, inner)])


def _constants(scan: Any, body: Any) -> int:
    """How many inputs are the same at each step; versions of JAX name it differently, shapes tell it in all."""

    def whole(outside: Any, inside: Any) -> int:
        return sum(a.aval.ndim == b.aval.ndim for a, b in zip(outside, inside, strict=True))

    return whole(scan.invars, body.invars) - whole(scan.outvars, body.outvars)


def _sum(works: Any) -> Work:
    return Work(*map(sum, zip(*[Work(), *works], strict=True)))


def _bytes(variables: Any) -> int:
    return sum(math.prod(v.aval.shape) * v.aval.dtype.itemsize for v in variables)
