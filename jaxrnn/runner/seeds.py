"""One seed, or several together: a run of several has them on axis 0 of every array."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxrnn.runner.config import Trained

Seeds = int | tuple[int, ...]


def seeds_of(config: Trained) -> Seeds:
    """The run's seed or seeds. Raises ValueError where both were given, or several are fewer than 2 or not distinct."""
    if config.seeds is None:
        return config.seed
    if config.seed != 0:
        alone = f"--seeds {config.seed} is that one alone"
        raise ValueError(
            f"seed: got {config.seed} beside seeds {listed(config.seeds)}, wanted one or the other; {alone}"
        )
    if len(config.seeds) < 2 or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"seeds: got {listed(config.seeds)}, wanted two or more, each once")
    return tuple(config.seeds)


def listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"


def place_of(member: int, seeds: Sequence[int] | None) -> int:
    """A member's place on axis 0. Raises ValueError where the run has no such member."""
    has = f"seeds {listed(seeds)} as members 0 to {len(seeds) - 1}" if seeds else "one seed, as member 0"
    if member >= len(seeds or [0]):
        raise ValueError(f"member: got {member}, the run has {has}")
    return member


def each(seeds: Seeds, make: Callable[[int], PyTree]) -> PyTree:
    """What `make` gives for the seed; for several, the arrays of each stacked."""
    if isinstance(seeds, int):
        return make(seeds)
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *map(make, seeds))


def for_each(seeds: Seeds, specs: PyTree[P]) -> PyTree[P]:
    """The specs of one seed's arrays, as those of `seeds`."""
    return specs if isinstance(seeds, int) else jax.tree.map(lambda spec: P(None, *spec), specs)


def member(tree: PyTree, k: int) -> PyTree:
    """Seed number k's own arrays."""
    return jax.tree.map(lambda leaf: leaf[k], tree)


def first_member(tree: PyTree, seeds: Seeds) -> PyTree:
    """One model: of several seeds, the first's."""
    return tree if isinstance(seeds, int) else member(tree, 0)


def described(name: str, values: Any) -> dict[str, Any]:
    """A number by its name; of several seeds, their mean, standard deviation (n - 1) and the numbers themselves."""
    values = np.asarray(values, np.float64)
    if values.ndim == 0:
        return {name: float(values)}
    spread = {f"{name}_std": float(values.std(ddof=1)), f"{name}_by_seed": values.tolist()}
    return {name: float(values.mean())} | spread
