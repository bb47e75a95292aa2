"""Groups: which optimizer moves which weight, at what rate; found by rule.

What is usual follows from a weight's kind: a block's matrices are moved by `matrices`, the rest by
`others`; a table that is input alone has a rate of its own; vectors do not decay. Rules of the
configuration change that, by kind or by name. Weights with the same outcome are one group.
"""

import re
from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from groundup.core import ConfigError

from .config import Kind, OptimConfig, OptimizerName, RuleConfig, StateDtype


class Group(NamedTuple):
    """How some weights are moved."""

    optimizer: OptimizerName
    rate: float
    """Peak."""
    decay: float
    state: StateDtype
    rule: int | None
    """Place of the rule among the configuration's; None: what is usual."""


def groups(
    weights: Mapping[str, nn.Parameter],
    config: OptimConfig,
    *,
    names: Container[str] | None = None,
) -> dict[Group, dict[str, nn.Parameter]]:
    """Sort weights by how they are moved, in the order of their names.

    names  of the whole model, where these weights are a share of it (a pipeline's stage), in
           which a rule may fit none

    Raises ConfigError if a rule fits no weight, if its pattern is none, or if all rates are zero.
    """
    found: dict[Group, dict[str, nn.Parameter]] = {}
    patterns = [compiled(rule) for rule in config.rules]
    for name, weight in weights.items():
        group = group_of(name, weight, names or weights, config, patterns)
        found.setdefault(group, {})[name] = weight
    for number, rule in enumerate(config.rules):
        if names is None and not any(
            fits(rule, patterns[number], n, w) for n, w in weights.items()
        ):
            raise ConfigError(
                f"optim.rules[{number}] ({told(rule)}) fits no weight; names are such as "
                f"{', '.join(list(weights)[:3])}; kinds matrix, expert, embedding, head, vector."
            )
    if names is None and found and not any(group.rate for group in found):
        raise ConfigError(
            "Every learning rate is 0, so nothing would be learnt; set optim.learning_rate, or "
            "optim.muon_learning_rate for matrices."
        )
    return found


def group_of(
    name: str,
    weight: Tensor,
    names: Container[str],
    config: OptimConfig,
    patterns: list[re.Pattern[str]],
) -> Group:
    """How one weight is moved; `names` are all of the model's."""
    kind = kind_of(name, weight)
    pairs = enumerate(zip(config.rules, patterns, strict=True))
    place = next((i for i, (rule, own) in pairs if fits(rule, own, name, weight)), None)
    rule = RuleConfig() if place is None else config.rules[place]
    optimizer = rule.optimizer or (config.matrices if kind == "matrix" else config.others)
    rate = config.learning_rate
    if optimizer == "muon":
        rate = config.muon_learning_rate
    elif optimizer == "adamw" and is_free_table(name, names):
        rate = config.embedding_learning_rate
    decay = config.weight_decay if weight.ndim >= 2 else 0.0
    return Group(
        optimizer,
        rate if rule.learning_rate is None else rule.learning_rate,
        decay if rule.weight_decay is None else rule.weight_decay,
        rule.state or config.state,
        place,
    )


def kind_of(name: str, weight: Tensor) -> Kind:
    """What a weight is, from its name and its dimensions.

    >>> kind_of("layers.0.attention.q_proj.weight", nn.Linear(2, 3).weight)
    'matrix'
    """
    if weight.ndim < 2:
        return "vector"
    if "embed" in name:
        return "embedding"
    if "head" in name:
        return "head"
    return "matrix" if weight.ndim == 2 else "expert"


def is_free_table(name: str, names: Container[str]) -> bool:
    """Whether it is the embedding of a model whose output has weights of its own.

    >>> is_free_table("embed_tokens.weight", ["lm_head.weight"])
    True
    """
    before, found, _ = name.partition("embed_tokens.")
    return bool(found) and f"{before}lm_head.weight" in names


def fits(rule: RuleConfig, pattern: re.Pattern[str], name: str, weight: Tensor) -> bool:
    """Whether a rule is for a weight."""
    is_kind = not rule.kinds or kind_of(name, weight) in rule.kinds
    return is_kind and bool(pattern.search(name))


def compiled(rule: RuleConfig) -> re.Pattern[str]:
    """The pattern of a rule's names; ConfigError if it is none."""
    try:
        return re.compile(rule.names)
    except re.error as error:
        raise ConfigError(
            f"names={rule.names!r} of a rule is no regular expression: {error}."
        ) from None


def told(rule: RuleConfig) -> str:
    """What a rule is for."""
    parts = [f"names={rule.names!r}"] if rule.names else []
    return ", ".join([*parts, *([f"kinds={list(rule.kinds)}"] if rule.kinds else [])]) or "all"


def label(group: Group, weights: Iterable[tuple[str, Tensor]]) -> str:
    """A group's name in metrics: optimizer, kinds, peak rate, and the rule if it is of one.

    >>> label(Group("muon", 0.02, 0.0, "float32", None), [("q_proj", nn.Linear(2, 2).weight)])
    'muon matrix at 0.02'
    """
    kinds = dict.fromkeys(kind_of(name, weight) for name, weight in weights)
    rule = "" if group.rule is None else f" rule {group.rule}"
    return f"{group.optimizer} {'+'.join(kinds)} at {group.rate:g}{rule}"
