"""Parameter groups: which optimizer updates which weight, at what learning rate.

The default follows from a weight's kind: a block's matrices use `matrix_optimizer`, the rest
`other_optimizer`; an
untied input embedding has its own learning rate; vectors do not decay. Configured rules override
this by kind or name. Weights with equal settings form one group.
"""

import re
from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from groundup.core import ConfigError

from .config import OptimConfig, OptimizerName, RuleConfig, StateDtype, WeightKind


class GroupSettings(NamedTuple):
    """Optimizer settings of a group of weights."""

    optimizer: OptimizerName
    learning_rate: float
    """Peak learning rate."""
    decay: float
    state: StateDtype
    rule_index: int | None
    """Index of the matching rule; None: the default."""


def group_parameters(
    weights: Mapping[str, nn.Parameter],
    config: OptimConfig,
    *,
    names: Container[str] | None = None,
) -> dict[GroupSettings, dict[str, nn.Parameter]]:
    """Group weights by their settings, in the order of their names.

    names  all names of the model, where `weights` are only a pipeline stage's, which a rule need
           not match

    Raises ConfigError if a rule matches no weight or has an invalid pattern, or all rates are zero.
    """
    grouped: dict[GroupSettings, dict[str, nn.Parameter]] = {}
    patterns = [_compile_names(rule) for rule in config.rules]
    for name, weight in weights.items():
        group = _settings_of(name, weight, names or weights, config, patterns)
        grouped.setdefault(group, {})[name] = weight
    for number, rule in enumerate(config.rules):
        if names is None and not any(
            _rule_matches(rule, patterns[number], n, w) for n, w in weights.items()
        ):
            raise ConfigError(
                f"optim.rules[{number}] ({_format_rule(rule)}) matches no weight; expected names "
                f"such as "
                f"{', '.join(list(weights)[:3])} and kinds matrix, expert, embedding, head, vector."
            )
    if names is None and grouped and not any(group.learning_rate for group in grouped):
        raise ConfigError(
            "Every learning rate is 0; set optim.learning_rate, or optim.muon_learning_rate for "
            "matrices."
        )
    return grouped


def _settings_of(
    name: str,
    weight: Tensor,
    names: Container[str],
    config: OptimConfig,
    patterns: list[re.Pattern[str]],
) -> GroupSettings:
    """Settings of one weight; `names` are all of the model's."""
    kind = _weight_kind(name, weight)
    pairs = enumerate(zip(config.rules, patterns, strict=True))
    index = next((i for i, (rule, own) in pairs if _rule_matches(rule, own, name, weight)), None)
    rule = RuleConfig() if index is None else config.rules[index]
    optimizer = rule.optimizer or (
        config.matrix_optimizer if kind == "matrix" else config.other_optimizer
    )
    rate = config.learning_rate
    if optimizer == "muon":
        rate = config.muon_learning_rate
    elif optimizer == "adamw" and _is_untied_embedding(name, names):
        rate = config.embedding_learning_rate
    decay = config.weight_decay if weight.ndim >= 2 else 0.0
    return GroupSettings(
        optimizer,
        rate if rule.learning_rate is None else rule.learning_rate,
        decay if rule.weight_decay is None else rule.weight_decay,
        rule.state or config.state,
        index,
    )


def _weight_kind(name: str, weight: Tensor) -> WeightKind:
    """A weight's kind, from its name and dimensions.

    >>> _weight_kind("layers.0.attention.q_proj.weight", nn.Linear(2, 3).weight)
    'matrix'
    """
    if weight.ndim < 2:
        return "vector"
    if "embed" in name:
        return "embedding"
    if "head" in name:
        return "head"
    return "matrix" if weight.ndim == 2 else "expert"


def _is_untied_embedding(name: str, names: Container[str]) -> bool:
    """Whether this is the input embedding of a model with untied output.

    >>> _is_untied_embedding("embed_tokens.weight", ["lm_head.weight"])
    True
    """
    prefix, separator, _ = name.partition("embed_tokens.")
    return bool(separator) and f"{prefix}lm_head.weight" in names


def _rule_matches(rule: RuleConfig, pattern: re.Pattern[str], name: str, weight: Tensor) -> bool:
    """Whether a rule matches a weight."""
    is_kind = not rule.kinds or _weight_kind(name, weight) in rule.kinds
    return is_kind and bool(pattern.search(name))


def _compile_names(rule: RuleConfig) -> re.Pattern[str]:
    """The compiled pattern of a rule; ConfigError if it is invalid."""
    try:
        return re.compile(rule.names)
    except re.error as error:
        raise ConfigError(
            f"names={rule.names!r} of a rule is not a regular expression: {error}."
        ) from None


def _format_rule(rule: RuleConfig) -> str:
    """A rule's selectors, for messages."""
    parts = [f"names={rule.names!r}"] if rule.names else []
    return ", ".join([*parts, *([f"kinds={list(rule.kinds)}"] if rule.kinds else [])]) or "all"


def group_label(group: GroupSettings, weights: Iterable[tuple[str, Tensor]]) -> str:
    """A group's name in metrics: optimizer, kinds, peak rate and rule.

    >>> settings = GroupSettings("muon", 0.02, 0.0, "float32", None)
    >>> group_label(settings, [("q_proj", nn.Linear(2, 2).weight)])
    'muon matrix at 0.02'
    """
    kinds = dict.fromkeys(_weight_kind(name, weight) for name, weight in weights)
    rule = "" if group.rule_index is None else f" rule {group.rule_index}"
    return f"{group.optimizer} {'+'.join(kinds)} at {group.learning_rate:g}{rule}"
