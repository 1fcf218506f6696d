"""Two nouns: a Cell is what happens at one moment, a Layer what happens to a sequence.

Both are tuples of pure functions. Arrays never hide in them: a function closes over Python numbers and
functions only, and parameters and carries are pytrees that travel as arguments.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

from jaxtyping import Array, PRNGKeyArray, PyTree

from jaxrnn.exporting import exportable
from jaxrnn.policy import Policy

Params = PyTree[Array]
Carry = PyTree[Array]


class Spec(NamedTuple):
    """The call that made a cell or layer: read by messages and tools, never by the mathematics."""

    name: str
    options: tuple[tuple[str, Hashable], ...] = ()
    children: tuple["Spec", ...] = ()

    def __repr__(self) -> str:
        """The call, less what says nothing: stack(unroll(lstm(n_in=3, n=16)), dense(n_in=16, n=1))."""
        told = [f"{name}={value!r}" for name, value in self.options if value not in (None, False, Policy())]
        return f"{self.name}({', '.join([*map(repr, self.children), *told])})"


def specs_in(made_by: Spec | None) -> Iterator[Spec]:
    """The spec of a cell or layer and those of all inside it, as far as it has one."""
    if made_by is not None:
        yield made_by
        for child in made_by.children:
            yield from specs_in(child)


def spec(name: str, *children: "Cell | Layer", **options: Hashable) -> Spec:
    """The Spec of `name(*children, **options)`; a child made without one counts as `custom`."""
    return Spec(name, tuple(options.items()), tuple(c.spec or Spec("custom") for c in children))


class Keys(NamedTuple):
    """Randomness for one sequence, split before any method cuts time, so that all draw the same noise."""

    sequence: PRNGKeyArray
    steps: PRNGKeyArray  # [T]


class Memory(NamedTuple):
    """What an attentive cell looks at: constant over time and not learned, so it travels in the params.

    `unroll` passes it over when it compares params with those that `init` makes.
    """

    values: Array  # [S, *batch, n_memory]
    keys: Array  # [S, *batch, n], what scores are made from
    mask: Array | None  # bool [S, *batch]


class Gated(NamedTuple):
    """A cell whose only product with the past is v = h @ product(params); the rest is elementwise.

    gates(small, carry, u, v) -> (carry, y), with `small` the params less their matrices.
    """

    product: Callable[[Params], Array]
    gates: Callable[[Params, Any, Array, Array], tuple[Any, Array]]


class Linear(NamedTuple):
    """A cell that its carry enters linearly: pack(carry') = a * pack(carry) + b, elementwise.

    terms(params, us) -> (a, b)             for one moment or a whole sequence alike, each like pack(carry)
    output(params, carry, us) -> ys         from the carry after the step
    pack, unpack                            a carry of reals as the numbers that are multiplied, and back
    """

    terms: Callable[[Params, Any], tuple[Any, Any]]
    output: Callable[[Params, Any, Any], Array]
    pack: Callable[[Any], Any] = lambda carry: carry
    unpack: Callable[[Any], Any] = lambda packed: packed


class Cell(NamedTuple):
    """What happens at one moment.

    init(key) -> params
    carry(batch_shape, params=None) -> carry     zeros, or the learned start that lives in params
    project(params, xs, key=None) -> us          the work on x that needs no past, for many moments at once but each
                                                 by itself: a method may give it any part of the sequence; `key` is
                                                 Keys, from which its noise is drawn, to travel in us
    step(params, carry, u) -> (carry, y)         the recurrence
    fast                                         what faster methods may use: None, Gated(...) or Linear(...)
    """

    init: Callable[[PRNGKeyArray], Params]
    carry: Callable[..., Carry]
    project: Callable[..., PyTree[Array]]
    step: Callable[[Params, Carry, PyTree[Array]], tuple[Carry, Array]]
    fast: Gated | Linear | None = None
    spec: Spec | None = None

    def __repr__(self) -> str:
        return repr(self.spec or Spec("Cell"))


class Layer(NamedTuple):
    """What happens to a sequence. Time is axis 0, features are last, any batch axes between.

    init(key) -> params
    carry(batch_shape, params=None) -> carry
    apply(params, carry, xs, *, key=None, mask=None, reset=None) -> (carry, ys)

    `key=None` means evaluation: no noise. `mask` [T, *batch] says which steps are real: any other holds the
    carry, ignores its reset and gives zero. `reset` [T, *batch] says where the past ends: step t starts afresh.
    """

    init: Callable[[PRNGKeyArray], Params]
    carry: Callable[..., Carry]
    apply: Callable[..., tuple[Carry, Array]]
    spec: Spec | None = None

    def __repr__(self) -> str:
        return repr(self.spec or Spec("Layer"))


exportable(__name__)
