"""Who looks on while layers are applied: nobody, unless jaxrnn.analysis asks. Then `unroll` hands its loop over, and
cells tell their gates by name. Without an observer nothing here enters what JAX traces.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from jax.extend.core import get_opaque_trace_state
from jaxtyping import Array


class Observer(Protocol):
    def unrolled(self, cell: Any, reverse: bool, params: Any, carry: Any, inputs: Any, keys: Any) -> tuple[Any, Array]:
        """What the layer's apply gives, by a loop of the observer's own."""
        ...

    def window(self) -> None:
        """What follows goes on in time after what came before."""
        ...


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)
_gates: ContextVar[tuple[dict[str, Array], Any] | None] = ContextVar("gates", default=None)


def observer() -> Observer | None:
    """Who looks on now."""
    return _observer.get()


@contextlib.contextmanager
def observed(by: Observer) -> Iterator[None]:
    token = _observer.set(by)
    try:
        yield
    finally:
        _observer.reset(token)


@contextlib.contextmanager
def gates_told() -> Iterator[dict[str, Array]]:
    """The values that a step names while it is traced within."""
    found: dict[str, Array] = {}
    token = _gates.set((found, get_opaque_trace_state()))
    try:
        yield found
    finally:
        _gates.reset(token)


def named(names: str | Sequence[str], values: Sequence[Array]) -> list[Array]:
    """The values as they are, each told by its name to whoever asks for a step's gates."""
    values = list(values)
    if (asked := _gates.get()) is not None:
        found, trace = asked
        if trace == get_opaque_trace_state():  # not what a function jitted inside the step computes
            found.update(zip(names, values, strict=True))
    return values
