"""Attention: at every step a decoder looks at the memory an encoder left, and reads a weighted mean of it.

    additive       score(q, m) = v . tanh(q W_q + m W_m)     Bahdanau et al. 2015
    general        score(q, m) = q . (m W_m)                 Luong et al. 2015
    dot            score(q, m) = q . m                       Luong et al. 2015, for q and m of one width
    weights = softmax of the scores over the real places of the source;  context = sum_s weights_s m_s

`attend` makes an attentive cell of any cell, as Bahdanau's decoder does: q is the state before the step, and the
context stands beside the input. The memory is constant over time, so it travels in the params, never in the carry:
`init` leaves its place empty, and `bind` fills it, wherever in the params of a stack it may be.

    decoder = stack(embed(vocab, 8), unroll(attend(gru(8 + 32, 16), "additive", n_memory=32)), dense(16 + 32, vocab))
    carry, logits = decoder.apply(bind(params, memory, mask), carry, ids)

So an attentive cell stays a Cell, its Layer a Layer: masks, resets, methods, stacks and generation are the old ones,
and a batch of other sources is other params. What stands in masked memory, NaN too, reaches neither values nor
gradients; a sequence without any source reads zeros.
"""

from typing import Any, Literal, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.exporting import exportable
from jaxrnn.masks import choose, zeroed
from jaxrnn.policy import Policy, promote
from jaxrnn.types import Carry, Cell, Keys, Memory, Spec, spec, specs_in

ATTENTIONS = ("additive", "general", "dot")
T = TypeVar("T")


class Additive(NamedTuple):
    w_q: Float[Array, "n_query n"]
    w_m: Float[Array, "n_memory n"]
    v: Float[Array, "n"]


class General(NamedTuple):
    w_m: Float[Array, "n_memory n_query"]


class Dot(NamedTuple):
    pass


class Attended(NamedTuple):
    """The params of an attentive cell; `memory` is None until `bind` fills it."""

    cell: Any
    attention: Additive | General | Dot
    memory: Memory | None


def attend(
    cell: Cell,
    attention: Literal["additive", "general", "dot"],
    n_memory: int,
    n: int | None = None,
    *,
    policy: Policy = Policy(),
) -> Cell:
    """The cell that reads [x, context] and gives [y, context]: build `cell` for n_in + n_memory features.

    The query is the state h before the step; `n` is the width inside additive attention, as wide as h if None.
    The context waits for the state, so the product with x is not hoisted out of the loop.
    Raises ValueError on an unknown attention, a cell whose carry has no h, and sizes that do not fit; `apply` raises
    it where no memory was bound or its batch is another.
    """
    if not isinstance(cell, Cell):
        raise ValueError(f"attend: cell is a {type(cell).__name__}, wanted a Cell such as gru(n_in + n_memory, n)")
    checks.choice("attend", "attention", attention, ATTENTIONS)
    checks.size("attend", n_memory=n_memory)
    checks.policy("attend", policy)
    empty: Any = jax.eval_shape(lambda: cell.carry(()))
    if not hasattr(empty, "h"):
        raise ValueError(f"attend: the cell's carry is {checks.short(empty)}, wanted one with a state h to ask with")
    n_query = empty.h.shape[-1]
    width = n_query if n is None else n
    checks.size("attend", n=width)
    if attention == "dot" and n_memory != n_query:
        raise ValueError(f"attend: n_memory is {n_memory}, wanted {n_query}, the width of h, for dot")

    n_in = dict(cell.spec.options).get("n_in") if cell.spec else None
    if isinstance(n_in, int) and n_in <= n_memory:
        wanted = f"more than the {n_memory} of the context: x and context are read side by side"
        raise ValueError(f"attend: cell reads {n_in} features, wanted {wanted}")

    def init(key: PRNGKeyArray) -> Attended:
        key_cell, key_attention = jax.random.split(key)
        inner = _init(key_attention, attention, n_query, n_memory, width, policy)
        return Attended(cell.init(key_cell), inner, None)

    def carry(batch_shape: tuple[int, ...], params: Attended | None = None) -> Carry:
        return cell.carry(batch_shape, None if params is None else params.cell)

    def project(params: Attended, xs: Array, key: Keys | None = None) -> tuple[Array, Keys | None]:
        _fits(params.memory, xs, n_memory)
        return xs, key and Keys(jnp.broadcast_to(key.sequence, xs.shape[:1]), key.steps)

    def step(params: Attended, carry: Any, u: tuple[Array, Keys | None]) -> tuple[Carry, Array]:
        x, key = u
        context, _ = look(params.attention, carry.h, params.memory, policy=policy)
        now = key and Keys(key.sequence, key.steps[None])
        moment = jax.tree.map(lambda a: a[0], cell.project(params.cell, _join(x, context)[None], now))
        carry, y = cell.step(params.cell, carry, moment)
        return carry, _join(y, context)

    made_by = spec("attend", cell, attention=attention, n_memory=n_memory, n=n, policy=policy)
    return Cell(init, carry, project, step, None, made_by)


def bind(
    params: T,
    memory: Float[Array, "S *batch n_memory"],
    mask: Bool[Array, "S *batch"] | None = None,
    *,
    policy: Policy = Policy(),
) -> T:
    """The params with the memory in every attentive cell's place; `mask` says which places of the source are real.

    `policy` is the one given to `attend`, which params do not tell: the product with the memory is made here, once.
    Gradients flow to the memory as to any argument. Raises ValueError when the shapes do not fit or no attentive
    cell is there.
    """
    checks.floats("bind", "memory", memory, 2, "[S, *batch, n_memory]")
    checks.steps("bind", "mask", mask, memory.shape[:-1], of="memory")
    checks.policy("bind", policy)
    if not has_attention(params):
        raise ValueError(f"bind: params is {checks.short(params)}, wanted those of a layer with attend(cell, ...)")

    def fill(leaf: Any) -> Any:
        if not _is_attended(leaf):
            return leaf
        return leaf._replace(memory=remember(leaf.attention, memory, mask, policy=policy))

    return jax.tree.map(fill, params, is_leaf=_is_attended)


def policy_in(made_by: Spec | None) -> Policy:
    """The one that `attend` was given within a layer, as far as its spec tells."""
    given = [cast(Policy, dict(one.options)["policy"]) for one in specs_in(made_by) if one.name == "attend"]
    return next((policy for policy in given if policy != Policy()), Policy())


def has_attention(params: Any) -> bool:
    """Whether there is an attentive cell's place for a memory."""
    return any(map(_is_attended, jax.tree.leaves(params, is_leaf=_is_attended)))


def remember(
    attention: Additive | General | Dot,
    memory: Float[Array, "S *batch n_memory"],
    mask: Bool[Array, "S *batch"] | None = None,
    *,
    policy: Policy = Policy(),
) -> Memory:
    """What is asked of a memory at every step, worked out once: its keys m W_m."""
    values = zeroed(memory, mask)
    if isinstance(attention, Dot):
        return Memory(values, values, mask)
    wanted = attention.w_m.shape[0]
    if memory.shape[-1] != wanted:
        came = f"{memory.shape[-1]} features, weights expect {wanted}"
        raise ValueError(f"attention: memory has {came} (memory: {checks.describe(memory)})")
    return Memory(values, policy.dot(values, attention.w_m), mask)


def look(
    attention: Additive | General | Dot,
    query: Float[Array, "*batch n_query"],
    memory: Memory | None,
    *,
    policy: Policy = Policy(),
) -> tuple[Float[Array, "*batch n_memory"], Float[Array, "S *batch"]]:
    """The context and the weights of one query; jax.vmap(look, (None, 0, None)) asks for a whole sequence."""
    assert memory is not None
    scores = _scores(attention, query, memory.keys, policy)
    weights = _softmax(scores, memory.mask)
    context = jnp.sum(weights[..., None] * memory.values.astype(weights.dtype), axis=0)
    return policy.output(context.astype(promote(query.dtype, memory.values.dtype))), weights


def _scores(attention: Additive | General | Dot, query: Array, keys: Array, policy: Policy) -> Float[Array, "S *batch"]:
    if isinstance(attention, Additive):
        asked = policy.dot(query, attention.w_q)
        wide = promote(asked.dtype, keys.dtype)
        return policy.dot(jnp.tanh(asked.astype(wide) + keys.astype(wide)), attention.v)
    wide = promote(query.dtype, keys.dtype, jnp.float32)
    return jnp.sum(query.astype(wide) * keys.astype(wide), axis=-1)


def _softmax(scores: Float[Array, "S *batch"], mask: Bool[Array, "S *batch"] | None) -> Float[Array, "S *batch"]:
    """Over the real places; zeros, with zero gradients, where there are none."""
    if mask is None:
        return jax.nn.softmax(scores, axis=0)
    low = jnp.full((), jnp.finfo(scores.dtype).min, scores.dtype)  # -inf alone in a row would give NaN
    return zeroed(jax.nn.softmax(choose(mask, scores, low), axis=0), mask)


def _init(
    key: PRNGKeyArray, attention: str, n_query: int, n_memory: int, n: int, policy: Policy
) -> Additive | General | Dot:
    dtype = policy.param_dtype
    key_q, key_m, key_v = jax.random.split(key, 3)
    if attention == "additive":
        return Additive(
            initializers.uniform(key_q, (n_query, n), n_query, dtype),
            initializers.uniform(key_m, (n_memory, n), n_memory, dtype),
            initializers.uniform(key_v, (n,), n, dtype),
        )
    return (
        General(initializers.uniform(key_m, (n_memory, n_query), n_memory, dtype)) if attention == "general" else Dot()
    )


def _fits(memory: Memory | None, xs: Array, n_memory: int) -> None:
    if memory is None:
        raise ValueError("attend: params have no memory yet, wanted bind(params, memory, mask)")
    if memory.values.shape[1:] != (*xs.shape[1:-1], n_memory):
        wanted = ", ".join(["S", *map(str, (*xs.shape[1:-1], n_memory))])
        raise ValueError(f"attend: memory is {checks.describe(memory.values)}, wanted [{wanted}] as in x")


def _join(a: Array, b: Array) -> Array:
    dtype = promote(a.dtype, b.dtype)
    return jnp.concatenate([a.astype(dtype), b.astype(dtype)], axis=-1)


def _is_attended(value: object) -> bool:
    return isinstance(value, Attended)


exportable(__name__)
