"""A cell's step taken apart: what needs no past, its products with weights, and the elementwise rest.

Nothing is asked of a cell but its `step`: the parts are found in the equations that JAX traces from it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array

# What costs much more than a product of two numbers and tells its own derivative: kept rather than computed again.
SLOPES: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda y: (1 - y) * (1 + y),
    "logistic": lambda y: y * (1 - y),
    "exp": lambda y: y,
}


def bind(eqn: JaxprEqn, values: Sequence[Any]) -> list[Any]:
    """The equation's outputs for other inputs."""
    out = eqn.primitive.bind(*values, **eqn.primitive.get_bind_params(eqn.params))
    return list(out) if eqn.primitive.multiple_results else [out]


def evaluate(
    eqns: Sequence[JaxprEqn], known: dict[Var, Any], special: Callable[[JaxprEqn, list[Any]], list[Any] | None]
) -> dict[Var, Any]:
    """`known` with what the equations add to it; `special` may answer for an equation in place of its own rule."""
    env = dict(known)
    for eqn in eqns:
        values = [read(env, v) for v in eqn.invars]
        outs = special(eqn, values)
        env.update(zip(eqn.outvars, bind(eqn, values) if outs is None else outs, strict=True))
    return env


def read(env: dict[Var, Any], v: Var | Literal) -> Any:
    return v.val if isinstance(v, Literal) else env[v]


def flat_jaxpr(function: Callable[..., Any], *arguments: Any) -> ClosedJaxpr:
    """The equations of function(*arguments) with jitted helpers such as jnp.where written out."""

    def inline(closed: ClosedJaxpr, values: Sequence[Any]) -> list[Any]:
        known = dict(zip([*closed.jaxpr.constvars, *closed.jaxpr.invars], [*closed.consts, *values], strict=True))
        env = evaluate(closed.jaxpr.eqns, known, written_out)
        return [read(env, v) for v in closed.jaxpr.outvars]

    def written_out(eqn: JaxprEqn, values: list[Any]) -> list[Any] | None:
        return inline(eqn.params["jaxpr"], values) if eqn.primitive.name in ("jit", "pjit") else None

    traced = jax.make_jaxpr(function)(*arguments)
    return jax.make_jaxpr(lambda *values: inline(traced, values))(*jax.tree.leaves(arguments))


def type_of(v: Any) -> Any:
    """Shape and dtype of a variable (JAX's annotation says less)."""
    return v.aval


def live(jaxpr: Jaxpr) -> tuple[list[JaxprEqn], list[bool]]:
    """(the equations that the outputs need, which inputs they need)."""
    needed = {v for v in jaxpr.outvars if isinstance(v, Var)}
    eqns = []
    for eqn in reversed(jaxpr.eqns):
        if needed.intersection(eqn.outvars):
            eqns.append(eqn)
            needed.update(v for v in eqn.invars if isinstance(v, Var))
    return eqns[::-1], [v in needed for v in jaxpr.invars]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def recalled(name: str, x: Array, y: Array) -> Array:
    """y, which is known to be the function `name` of x."""
    return y


@recalled.defjvp
def _(name: str, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    y = primals[1]
    return y, SLOPES[name](y) * tangents[0]


class Equations:
    """The step of a cell, taken apart at the shapes of one moment.

    weights      what the past is multiplied by in products, computed from the params outside the loop
    small        what else of the params the loop reads
    products     v_k = a_k weights_k, where a_k depends on the past
    squashed     the values of SLOPES
    """

    def __init__(self, step: Callable[..., Any], params: Any, carry: Any, u: Any) -> None:
        closed = flat_jaxpr(step, params, carry, u)
        jaxpr = closed.jaxpr
        n_params, n_carry = (len(jax.tree.leaves(tree)) for tree in (params, carry))
        self.param_vars = jaxpr.invars[:n_params]
        self.carry_vars = jaxpr.invars[n_params : n_params + n_carry]
        self.u_vars = jaxpr.invars[n_params + n_carry :]
        self.outvars = jaxpr.outvars
        self.consts = dict(zip(jaxpr.constvars, closed.consts, strict=True))
        self.early, self.late = _split_early(jaxpr, set(self.param_vars))
        of_params = {v for eqn in self.early for v in eqn.outvars} | set(self.param_vars)
        self.product_list = [eqn for eqn in self.late if _weight(eqn, of_params)]
        self.product_eqns = {id(eqn): k for k, eqn in enumerate(self.product_list)}
        self.squash_eqns = {id(eqn): k for k, eqn in enumerate(e for e in self.late if e.primitive.name in SLOPES)}
        self.weight_vars = [v for eqn in self.late if (v := _weight(eqn, of_params))]
        others = (v for eqn in self.late if id(eqn) not in self.product_eqns for v in eqn.invars)
        self.small_vars = list(
            dict.fromkeys(v for v in (*others, *self.outvars) if isinstance(v, Var) and v in of_params)
        )

    @property
    def serves(self) -> bool:
        """Whether the loop can be differentiated piece by piece: not where a backward rule stands in it."""
        return not any(eqn.primitive.name == "custom_vjp_call" for eqn in self.late)

    def hoist(self, params: Any) -> tuple[list[Array], list[Array]]:
        """(weights, small)."""
        known = self.consts | dict(zip(self.param_vars, jax.tree.leaves(params), strict=True))
        env = evaluate(self.early, known, lambda eqn, values: None)
        return [env[v] for v in self.weight_vars], [env[v] for v in self.small_vars]

    def product(self, k: int, a: Array, weight: Array) -> Array:
        """a_k weights_k, as the step has it."""
        eqn = self.product_list[k]
        return bind(eqn, [weight if v is self.weight_vars[k] else a for v in eqn.invars])[0]

    def is_plain(self, k: int) -> bool:
        """Whether product k is a @ w for a matrix w."""
        a, w = self.product_list[k].invars
        contracted, batched = self.product_list[k].params["dimension_numbers"]
        plain = [[*axes] for axes in (*contracted, *batched)] == [[type_of(a).ndim - 1], [0], [], []]
        return w is self.weight_vars[k] and type_of(w).ndim == 2 and plain

    def step(
        self, weights: Sequence[Array], small: Sequence[Array], carry: Sequence[Array], u: Sequence[Array]
    ) -> tuple[list[Array], list[Array], list[Array]]:
        """(outputs, the v_k, the squashed values)."""
        vs: list[Array] = []
        squashed: list[Array] = []

        def product(k: int, a: Array) -> Array:
            vs.append(self.product(k, a, weights[k]))
            return vs[-1]

        def squash(k: int, name: str, x: Array) -> Array:
            squashed.append(getattr(jax.lax, name)(x))
            return squashed[-1]

        return self.run(small, carry, u, product, squash), vs, squashed

    def inner_types(self, weights: Any, small: Any, carry: Any, u: Any) -> tuple[list[Any], list[Any]]:
        """The types of the v_k and of the squashed values."""
        traced = jax.make_jaxpr(lambda *given: self.step(*given)[1:])(weights, small, carry, u)
        types, n = list(traced.out_avals), len(self.weight_vars)
        return types[:n], types[n:]

    def run(
        self,
        small: Sequence[Array],
        carry: Sequence[Array],
        u: Sequence[Array],
        product: Callable[[int, Array], Array],
        squash: Callable[[int, str, Array], Array],
    ) -> list[Array]:
        """The step's outputs, with products and squashing functions left to the caller."""

        def special(eqn: JaxprEqn, values: list[Any]) -> list[Any] | None:
            if (k := self.product_eqns.get(id(eqn))) is not None:
                a = next(x for v, x in zip(eqn.invars, values, strict=True) if v is not self.weight_vars[k])
                return [product(k, a)]
            if (k := self.squash_eqns.get(id(eqn))) is not None:
                return [squash(k, eqn.primitive.name, values[0])]
            return None

        known = self.consts | dict(zip(self.small_vars, small, strict=True))
        known |= dict(zip([*self.carry_vars, *self.u_vars], [*carry, *u], strict=True))
        known |= {v: None for v in self.weight_vars if v not in known}
        env = evaluate(self.late, known, special)
        return [read(env, v) for v in self.outvars]


def _split_early(jaxpr: Jaxpr, of_params: set[Var]) -> tuple[list[JaxprEqn], list[JaxprEqn]]:
    """(the equations that read params and constants alone, the others); constants are in both."""
    constant, of_params, early, late = set(jaxpr.constvars), set(of_params), [], []
    for eqn in jaxpr.eqns:
        read = {v for v in eqn.invars if isinstance(v, Var)}
        if read <= constant:
            constant.update(eqn.outvars)
            early.append(eqn)
            late.append(eqn)
        elif read <= constant | of_params:
            of_params.update(eqn.outvars)
            early.append(eqn)
        else:
            late.append(eqn)
    return early, late


def _weight(eqn: JaxprEqn, of_params: set[Var]) -> Var | None:
    """The operand of a product that comes from the params, where the other does not."""
    if eqn.primitive.name != "dot_general":
        return None
    ours = [v for v in eqn.invars if isinstance(v, Var) and v in of_params]
    return ours[0] if len(ours) == 1 else None
