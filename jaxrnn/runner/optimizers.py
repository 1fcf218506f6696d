"""From a configuration to an optax optimiser: clipping, the rule, the rate's rise and fall."""

import inspect
from collections.abc import Callable
from typing import Any

import optax
import optax.contrib

from jaxrnn import checks
from jaxrnn.runner.config import Trained

ADAMS_SIZE = 0.2  # root mean square of Adam's updates over its rate, so that both want the same one (Liu et al. 2025)

RULES: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=0.95, eps=1e-8),
    "adam": optax.adam,
    "adamw": optax.adamw,
    "muon": lambda rate, weight_decay=0.0: optax.contrib.muon(
        rate, weight_decay=weight_decay, adam_weight_decay=weight_decay, consistent_rms=ADAMS_SIZE
    ),
}


def make_optimizer(config: Trained) -> optax.GradientTransformation:
    """Raises ValueError where optax has no optimiser of that name that a rate is enough for."""
    rule, rate = find_rule(config.optimizer), make_schedule(config)
    decoupled = "weight_decay" in inspect.signature(rule).parameters
    parts = []
    if config.clip_value:
        parts.append(optax.clip(config.clip_value))
    if config.clip:
        parts.append(optax.clip_by_global_norm(config.clip))
    if config.weight_decay and not decoupled:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    parts.append(rule(rate, **({"weight_decay": config.weight_decay} if decoupled else {})))
    whole = optax.chain(*parts)
    if config.accumulate == 1:
        return whole
    return optax.MultiSteps(whole, config.accumulate).gradient_transformation()


def find_rule(name: str) -> Callable[..., optax.GradientTransformation]:
    """The table's, or any function of optax itself that needs nothing but a learning rate."""
    optaxs = {n: f for n, f in vars(optax).items() if not n.startswith("_") and _takes_a_rate(f)}
    rules = optaxs | RULES
    checks.choice("optimizer", "rule", name, rules, RULES)
    return rules[name]


def _takes_a_rate(rule: Any) -> bool:
    if not inspect.isfunction(rule):
        return False
    given = list(inspect.signature(rule).parameters.values())
    needed = [p.name for p in given if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return needed == ["learning_rate"] and given[0].name == "learning_rate"


def make_schedule(config: Trained) -> optax.Schedule:
    """The rate by the number of the update, from 0: a straight rise to `rate`, then the fall that `schedule` names."""
    updates = -(-config.steps // config.accumulate)
    rise = min(50, updates // 10) if config.warm_up is None else min(config.warm_up, updates)
    fall = max(updates - rise, 1)
    falls = {
        "cosine": lambda: optax.cosine_decay_schedule(config.rate, fall, config.final_rate),
        "linear": lambda: optax.linear_schedule(config.rate, config.rate * config.final_rate, fall),
        "exponential": lambda: optax.exponential_decay(
            config.rate, config.decay_every or max(updates // 10, 1), config.decay, config.decay_after, staircase=True
        ),
        "constant": lambda: optax.constant_schedule(config.rate),
    }
    then = falls[config.schedule]()
    if not rise:
        return then
    return optax.join_schedules([optax.linear_schedule(config.rate / (rise + 1), config.rate, rise), then], [rise])
