"""Switch: T5 with experts in every layer or every second one.

In every forward pass an expert serves the first `expert_capacity` tokens of a sequence; the rest
pass through the residual. Decoding token by token from a cache never exceeds that capacity. The
training capacity factor, which Transformers lacks, is written as `capacity_factor`.
Source: transformers 5.24, models/switch_transformers; Switch: arXiv:2101.03961.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from groundup.core import ArtifactError, ConfigError

from ..config import ExpertsConfig, FeedForwardConfig, ModelConfig
from .keys import ConfigKeys, word_set
from .names import (
    NamePairs,
    StateDict,
    get_activation,
    get_bool,
    get_float,
    get_int,
    hf_activation,
    merge_tied_embeddings,
    rename_tensors,
    require_defaults,
    require_supported,
)
from .t5 import (
    ALIASES,
    DEFAULT_CONTEXT,
    EMBEDDING_COPIES,
    SHARED_KEYS,
    SUPPORTED_VALUES,
    attention_names,
    feedforward_names,
    t5_from_hf_config,
    t5_to_hf_config,
)

FAMILY = "switch_transformers"
SUPPORTED_SWITCH_VALUES = SUPPORTED_VALUES | {"router_bias": (False, None)}
KEYS = ConfigKeys(
    SHARED_KEYS | word_set("""
    capacity_factor decoder_sparse_step encoder_sparse_step expert_capacity num_experts
    num_sparse_decoder_layers num_sparse_encoder_layers router_bias
    """),
    {"batch_prioritized_routing": (False,), "feed_forward_proj": ("relu",), "is_causal": (True,),
     "is_gated_act": (False,), "router_dtype": ("float32",), "router_type": ("tokens_masked",)},
    word_set("add_router_probs router_ignore_padding_tokens"), ALIASES,
)  # fmt: skip
STACKS = (("encoder", "encoder.", 1), ("decoder", "", 2))
"""Hugging Face's stack name, groundup's prefix, and the feed-forward's index within a block."""
ROUTERS: NamePairs = tuple(
    (
        f"{stack}.block.{{}}.layer.{part}.mlp.router.classifier.",
        f"{prefix}layers.{{}}.experts.router.",
    )
    for stack, prefix, part in STACKS
)
NAMES = (*attention_names(), *ROUTERS, *feedforward_names("mlp", gated=False))
EXPERT_PROJECTIONS = (("wi", "up_proj"), ("wo", "down_proj"))


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    require_supported(values, SUPPORTED_SWITCH_VALUES)
    is_tied = get_bool(values, "tie_word_embeddings", True)
    experts = ExpertsConfig(
        count=get_int(values, "num_experts", FAMILY),
        chosen=1,
        every=_parse_expert_interval(values),
        normalised=False,
        capacity_factor=get_float(values, "capacity_factor", None),
        capacity=_parse_expert_capacity(values),
    )
    feedforward = FeedForwardConfig(
        width=get_int(values, "d_ff", FAMILY),
        activation=get_activation(values, "dense_act_fn", "relu"),
        gated=False,
        experts=experts,
    )
    return t5_from_hf_config(values, feedforward, is_tied=is_tied, is_scaled=is_tied)


def _hf_sparse_layers(layers: int, count: int) -> range:
    """The layers with experts in Transformers: the second of every layers // count, or all.

    >>> [[*_hf_sparse_layers(*each)] for each in ((6, 3), (6, 2), (2, 2))]
    [[1, 3, 5], [1, 4], [0, 1]]
    """
    step = max(1, layers // count) if count else layers
    return range(int(step > 1), layers, step)


def _parse_expert_interval(values: dict[str, Any]) -> int:
    """The interval n such that the last of every n layers has experts, in both stacks.

    Raises ArtifactError if no interval gives the file's expert layers.
    """
    encoder = get_int(values, "num_layers", FAMILY)
    decoder = get_int(values, "num_decoder_layers", FAMILY, encoder)
    sparse = [get_int(values, f"num_sparse_{each}_layers", FAMILY, 3, minimum=0)
              for each in ("encoder", "decoder")]  # fmt: skip
    _check_sparse_steps(values, {"encoder": (encoder, sparse[0]), "decoder": (decoder, sparse[1])})
    layers = _hf_sparse_layers(encoder, sparse[0]), _hf_sparse_layers(decoder, sparse[1])
    for interval in (1, 2):  # in Transformers the first or the second layer is always sparse
        if layers == (_own_expert_layers(encoder, interval), _own_expert_layers(decoder, interval)):
            return interval
    raise ArtifactError(
        f"config.json has num_sparse_encoder_layers={sparse[0]} and num_sparse_decoder_layers="
        f"{sparse[1]}, experts in layers {_format_layers(layers[0])} and "
        f"{_format_layers(layers[1])}; groundup "
        "supports all or every second layer, the same in both stacks."
    )


def _check_sparse_steps(values: Mapping[str, Any], stacks: Mapping[str, tuple[int, int]]) -> None:
    """Raise ArtifactError for sparse steps that contradict the numbers of sparse layers."""
    for stack, (layers, count) in stacks.items():
        key, step = f"{stack}_sparse_step", layers // count if count else layers
        require_supported(values, {key: (step,)})


def _format_layers(layers: range) -> str:
    """The first few layers, for messages."""
    return ", ".join(map(str, layers[:4])) + (", …" if len(layers) > 4 else "")


def _own_expert_layers(layers: int, every: int) -> range:
    """The layers with experts in groundup."""
    return range(every - 1, layers, every)


def _hf_sparse_count(layers: int, every: int) -> int:
    """The number of sparse layers that gives the same expert layers in Transformers.

    Raises ConfigError if none does.
    """
    for count in range(1, layers + 1):
        if _hf_sparse_layers(layers, count) == _own_expert_layers(layers, every):
            return count
    raise ConfigError(
        f"ExpertsConfig.every={every} of {layers} layers cannot be written as switch_transformers, "
        "which has experts in all layers or every second."
    )


def _parse_expert_capacity(values: Mapping[str, Any]) -> int | None:
    """Maximum tokens of a sequence per expert; None if it cannot be exceeded."""
    limit = get_int(values, "expert_capacity", FAMILY, 64)
    return None if limit >= get_int(values, "n_positions", FAMILY, DEFAULT_CONTEXT) else limit


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that Switch cannot express.
    """
    experts = config.feedforward.experts
    if experts is None:
        raise ConfigError(f"FeedForwardConfig.experts=None cannot be written as {FAMILY}.")
    values = t5_to_hf_config(config) | {
        "architectures": ["SwitchTransformersForConditionalGeneration"],
        "model_type": "switch_transformers",
        "dense_act_fn": hf_activation(config.feedforward.activation),
        "num_experts": experts.count,
        "num_sparse_encoder_layers": _hf_sparse_count(config.encoder_layers, experts.every),
        "num_sparse_decoder_layers": _hf_sparse_count(config.layers, experts.every),
        "expert_capacity": experts.capacity or config.context_length,
        "router_bias": False,
        "router_jitter_noise": 0.0,
        "router_dtype": "float32",
    }
    if experts.capacity_factor is not None:
        values["capacity_factor"] = experts.capacity_factor
    require_defaults(config, from_hf_config(values), "switch_transformers")
    return values


def from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names; stack a layer's experts.

    Raises ArtifactError if the stacks have different embeddings.
    """
    state = rename_tensors(merge_tied_embeddings(state, "shared.weight", EMBEDDING_COPIES), NAMES)
    experts = config.feedforward.experts
    assert experts is not None, "a Switch has experts"
    for hf_name, name in _expert_names(config):
        parts = [state.pop(hf_name.format(i), None) for i in range(experts.count)]
        if all(part is not None for part in parts):
            state[name] = torch.stack(parts)  # pyright: ignore[reportArgumentType]
    return state


def to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names.

    With an untied head Transformers ties no embeddings, so both copies are written too.
    """
    result = rename_tensors(state, NAMES, to_hf=True)
    for hf_name, name in _expert_names(config):
        parts = result.pop(name)
        result |= {hf_name.format(i): part.contiguous() for i, part in enumerate(parts)}
    if not config.tied_embeddings:
        result |= {name: result["shared.weight"].clone() for name in EMBEDDING_COPIES}
    return result


def _expert_names(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Yield the Hugging Face name of experts, `{}` for the index, and the stacked tensor's name."""
    depths = config.encoder_layers, config.layers
    for (stack, prefix, part), layers in zip(STACKS, depths, strict=True):
        for layer in filter(config.has_experts, range(layers)):
            for side, name in EXPERT_PROJECTIONS:
                expert = f"{stack}.block.{layer}.layer.{part}.mlp.experts.expert_{{}}"
                yield f"{expert}.{side}.weight", f"{prefix}layers.{layer}.experts.{name}"
