"""Switch's names: a T5 in which every layer or every second one has experts.

In a forward pass an expert serves the first `expert_capacity` tokens of a sequence and lets the
rest pass by the residual, in training and after it; a decoder that is fed token by token from a
cache is never full. Our capacity factor of the training, which they lack, is kept as
`capacity_factor`.
Source: transformers 5.24, models/switch_transformers; Switch: arXiv:2101.03961.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from groundup.core import ArtifactError, ConfigError

from ..config import ExpertsConfig, FeedForwardConfig, ModelConfig
from .keys import Keys, words
from .names import (
    Pairs,
    State,
    activation,
    answered,
    counted,
    measured,
    one_table,
    only,
    renamed,
    their_activation,
    unsaid,
)
from .t5 import (
    ALIASES,
    CONTEXT,
    COPIES,
    ONLY,
    SHARED,
    attention_names,
    feedforward_names,
    shape,
    written,
)

FAMILY = "switch_transformers"
REFUSED = ONLY | {"router_bias": (False, None)}
KEYS = Keys(
    SHARED | words("""
    capacity_factor decoder_sparse_step encoder_sparse_step expert_capacity num_experts
    num_sparse_decoder_layers num_sparse_encoder_layers router_bias
    """),
    {"batch_prioritized_routing": (False,), "feed_forward_proj": ("relu",), "is_causal": (True,),
     "is_gated_act": (False,), "router_dtype": ("float32",), "router_type": ("tokens_masked",)},
    words("add_router_probs router_ignore_padding_tokens"), ALIASES,
)  # fmt: skip
STACKS = (("encoder", "encoder.", 1), ("decoder", "", 2))
"""Their name, what ours begins with, and their number of the feed-forward in a block."""
ROUTERS: Pairs = tuple(
    (
        f"{stack}.block.{{}}.layer.{part}.mlp.router.classifier.",
        f"{ours}layers.{{}}.experts.router.",
    )
    for stack, ours, part in STACKS
)
NAMES = (*attention_names(), *ROUTERS, *feedforward_names("mlp", gated=False))
SIDES = (("wi", "up_proj"), ("wo", "down_proj"))


def read(values: dict[str, Any]) -> ModelConfig:
    """Our configuration of a config.json.

    Raises ArtifactError naming the key that is missing or that asks for what we do not compute.
    """
    only(values, REFUSED)
    is_tied = answered(values, "tie_word_embeddings", True)
    experts = ExpertsConfig(
        count=counted(values, "num_experts", FAMILY),
        chosen=1,
        every=every(values),
        normalised=False,
        capacity_factor=measured(values, "capacity_factor", None),
        capacity=limit_of(values),
    )
    feedforward = FeedForwardConfig(
        width=counted(values, "d_ff", FAMILY),
        activation=activation(values, "dense_act_fn", "relu"),
        gated=False,
        experts=experts,
    )
    return shape(values, feedforward, is_tied=is_tied, is_scaled=is_tied)


def sparse_layers(layers: int, count: int) -> range:
    """The layers that have experts there: the second of every layers // count, or all.

    >>> [[*sparse_layers(*each)] for each in ((6, 3), (6, 2), (2, 2))]
    [[1, 3, 5], [1, 4], [0, 1]]
    """
    step = max(1, layers // count) if count else layers
    return range(int(step > 1), layers, step)


def every(values: dict[str, Any]) -> int:
    """Of how many layers the last has experts, in both stacks.

    Raises ArtifactError where others have them.
    """
    encoder = counted(values, "num_layers", FAMILY)
    decoder = counted(values, "num_decoder_layers", FAMILY, encoder)
    sparse = [counted(values, f"num_sparse_{each}_layers", FAMILY, 3, least=0)
              for each in ("encoder", "decoder")]  # fmt: skip
    check_steps(values, {"encoder": (encoder, sparse[0]), "decoder": (decoder, sparse[1])})
    theirs = sparse_layers(encoder, sparse[0]), sparse_layers(decoder, sparse[1])
    for found in (1, 2):  # theirs have the first layer or the second
        if theirs == (our_layers(encoder, found), our_layers(decoder, found)):
            return found
    raise ArtifactError(
        f"config.json has num_sparse_encoder_layers={sparse[0]} and num_sparse_decoder_layers="
        f"{sparse[1]}, experts in layers {told(theirs[0])} and {told(theirs[1])}; groundup "
        "computes all or every second, alike in both stacks."
    )


def check_steps(values: Mapping[str, Any], stacks: Mapping[str, tuple[int, int]]) -> None:
    """Refuse steps between sparse layers that are not those of their number, which they replace."""
    for stack, (layers, count) in stacks.items():
        key, step = f"{stack}_sparse_step", layers // count if count else layers
        only(values, {key: (step,)})


def told(layers: range) -> str:
    """The first of some layers."""
    return ", ".join(map(str, layers[:4])) + (", …" if len(layers) > 4 else "")


def our_layers(layers: int, every: int) -> range:
    """The layers that have experts here."""
    return range(every - 1, layers, every)


def sparse_count(layers: int, every: int) -> int:
    """The number that gives the same layers experts there.

    Raises ConfigError if none does.
    """
    for count in range(1, layers + 1):
        if sparse_layers(layers, count) == our_layers(layers, every):
            return count
    raise ConfigError(
        f"ExpertsConfig.every={every} of {layers} layers cannot be written as switch_transformers, "
        "whose experts are in all layers or every second."
    )


def limit_of(values: Mapping[str, Any]) -> int | None:
    """Most tokens of a sequence that an expert serves; None where it is never full."""
    limit = counted(values, "expert_capacity", FAMILY, 64)
    return None if limit >= counted(values, "n_positions", FAMILY, CONTEXT) else limit


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of our configuration.

    Raises ConfigError naming what a Switch cannot be.
    """
    experts = config.feedforward.experts
    if experts is None:
        raise ConfigError(
            "FeedForwardConfig.experts=None cannot be written as switch_transformers."
        )
    values = written(config) | {
        "architectures": ["SwitchTransformersForConditionalGeneration"],
        "model_type": "switch_transformers",
        "dense_act_fn": their_activation(config.feedforward.activation),
        "num_experts": experts.count,
        "num_sparse_encoder_layers": sparse_count(config.encoder_layers, experts.every),
        "num_sparse_decoder_layers": sparse_count(config.layers, experts.every),
        "expert_capacity": experts.capacity or config.context_length,
        "router_bias": False,
        "router_jitter_noise": 0.0,
        "router_dtype": "float32",
    }
    if experts.capacity_factor is not None:
        values["capacity_factor"] = experts.capacity_factor
    unsaid(config, read(values), "switch_transformers")
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Our names of their tensors, a layer's experts in one tensor each.

    Raises ArtifactError if the stacks have embeddings of their own.
    """
    state = renamed(one_table(state, "shared.weight", COPIES), NAMES)
    experts = config.feedforward.experts
    assert experts is not None, "a Switch has experts"
    for theirs, whole in expert_names(config):
        parts = [state.pop(theirs.format(i), None) for i in range(experts.count)]
        if all(part is not None for part in parts):
            state[whole] = torch.stack(parts)  # pyright: ignore[reportArgumentType]
    return state


def theirs(state: State, config: ModelConfig) -> State:
    """Their names of our tensors; with a free head nothing is tied, so the table is thrice."""
    made = renamed(state, NAMES, to_theirs=True)
    for theirs, whole in expert_names(config):
        parts = made.pop(whole)
        made |= {theirs.format(i): part.contiguous() for i, part in enumerate(parts)}
    if not config.tied_embeddings:
        made |= {name: made["shared.weight"].clone() for name in COPIES}
    return made


def expert_names(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Their name of an expert's tensor, `{}` standing for its number, and ours of all of them."""
    depths = config.encoder_layers, config.layers
    for (stack, ours, part), layers in zip(STACKS, depths, strict=True):
        for layer in filter(config.has_experts, range(layers)):
            for side, name in SIDES:
                begin = f"{stack}.block.{layer}.layer.{part}.mlp.experts.expert_{{}}"
                yield f"{begin}.{side}.weight", f"{ours}layers.{layer}.experts.{name}"
