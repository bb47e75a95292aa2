"""T5, its kin and Switch: relative position buckets, RMS pre-norms, no biases, unscaled scores.

T5 1.0 ties its embeddings and scales the output; 1.1, FLAN and mT5 have gated feed-forwards, an
untied head and no scale; UMT5 has a bias of buckets in every layer. The context length is
`n_positions` of older files, though buckets allow more.

Switch is T5 with experts in every layer or every second one. In every forward pass an expert serves
the first `expert_capacity` tokens of a sequence; the rest pass through the residual. Decoding token
by token from a cache never exceeds that capacity. The training capacity factor, which Transformers
lacks, is written as `capacity_factor`.
Source: transformers 5.24, models/t5, mt5, umt5, switch_transformers; T5: arXiv:1910.10683; gates:
arXiv:2002.05202; mT5: arXiv:2010.11934; UMT5: arXiv:2304.09151; Switch: arXiv:2101.03961.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from groundup.core import ArtifactError, ConfigError

from ..configuration.config import Activation, ModelConfig
from .decoder_keys import DECODERS_ONLY
from .decoders.outline import Key, Outline, Values
from .keys import Family, word_set
from .names import (
    ACTIVATIONS,
    NamePairs,
    StateDict,
    get_activation,
    get_bool,
    get_float,
    get_int,
    hf_activation,
    merge_tied_embeddings,
    rename_tensors,
    require_supported,
)

STACKS = (("encoder", "encoder.", 1), ("decoder", "", 2))
"""Hugging Face's stack name, groundup's prefix, and the feed-forward's index within a block."""
PROJECTIONS = (("q.", "q_proj."), ("k.", "k_proj."), ("v.", "v_proj."), ("o.", "o_proj."))
EMBEDDING_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
UNUSED_TENSOR = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
"""A tensor in the oldest files that no version uses."""
DEFAULT_CONTEXT = 512
ALIASES = {
    "hidden_size": "d_model", "num_attention_heads": "num_heads", "num_hidden_layers": "num_layers",
}  # fmt: skip


def _prepare(values: Values) -> Values:
    """Values with the sizes that files may omit; ArtifactError names another that is missing."""
    require_supported(values, {"is_encoder_decoder": (True,)})
    family = str(values.get("model_type"))
    layers, _ = (get_int(values, key, family) for key in ("num_layers", "d_kv"))
    defaults = {"num_decoder_layers": layers, "n_positions": DEFAULT_CONTEXT}
    return values | {key: get_int(values, key, family, size) for key, size in defaults.items()}


SHARED = Outline(
    "t5", "T5ForConditionalGeneration",
    (
        Key("num_layers", "encoder_layers", int), Key("layer_norm_epsilon", "norm.eps", 1e-6),
        Key("relative_attention_num_buckets", "position.buckets", 32),
        Key("relative_attention_max_distance", "position.max_distance", 128),
    ),
    {"kind": "encoder_decoder", "attention.scale": 1.0, "position.kind": "buckets"},
    renamed={"d_model": "hidden_size", "num_heads": "num_attention_heads", "d_kv": "head_dim",
             "num_decoder_layers": "num_hidden_layers", "d_ff": "intermediate_size",
             "n_positions": "max_position_embeddings"},
    absent=DECODERS_ONLY - {"head_dim"} | {"attention_dropout"},
    more_keys=word_set("dense_act_fn is_encoder_decoder"), aliases=ALIASES, prepare=_prepare,
)  # fmt: skip
"""What T5 and Switch have in common."""


def _output_fields(values: Values, *, is_tied: bool, is_scaled: bool) -> Values:
    scale = 1 / math.sqrt(values["d_model"]) if is_scaled else 1.0
    return {"output.scale": scale, "tied_embeddings": is_tied}


def _attention_names(*, shared: bool = True) -> NamePairs:
    """Names of embeddings, norms and attention of both stacks.

    shared  whether all layers of a stack share a bias of distances
    """
    pairs: list[tuple[str, str]] = []
    for stack, prefix, last in STACKS:
        block, layer = stack + ".block.{}.layer.", prefix + "layers.{}."
        own = block.format(0) if shared else block
        bias = (prefix if shared else layer + "attention.") + "relative."
        pairs.append((own + "0.SelfAttention.relative_attention_bias.", bias))
        parts = [("0.SelfAttention.", "attention."), ("1.EncDecAttention.", "cross.")][:last]
        for part, name in parts:
            pairs += [(block + part + a, layer + name + b) for a, b in PROJECTIONS]
        norms = ("attention_norm.", "cross_norm.")[:last]
        pairs += [(block + f"{i}.layer_norm.", layer + name) for i, name in enumerate(norms)]
        pairs.append((block + f"{last}.layer_norm.", layer + "feedforward_norm."))
        pairs.append((f"{stack}.final_layer_norm.", f"{prefix}norm."))
    return (*pairs, ("shared.", "embed_tokens."))


def _feedforward_names(part: str, *, gated: bool) -> NamePairs:
    """Names of the dense feed-forwards, which Hugging Face files call `part`."""
    up = (("wi_0.", "gate_proj."), ("wi_1.", "up_proj.")) if gated else (("wi.", "up_proj."),)
    return tuple(
        (f"{stack}.block.{{}}.layer.{last}.{part}.{a}", f"{prefix}layers.{{}}.feedforward.{b}")
        for stack, prefix, last in STACKS
        for a, b in (*up, ("wo.", "down_proj."))
    )


def _tensor_names(config: ModelConfig) -> NamePairs:
    gated, shared = config.feedforward.gated, config.position.shared
    return _attention_names(shared=shared) + _feedforward_names("DenseReluDense", gated=gated)


def _read_t5(values: Values) -> Values:
    family = values.get("model_type")
    # Of mT5 Transformers ignores tie_word_embeddings, and never scales.
    is_tied = family != "mt5" and get_bool(values, "tie_word_embeddings", True)
    key = "scale_decoder_outputs"  # null is no there, absent follows the tie
    is_scaled = values.get(key, is_tied) is not None and get_bool(values, key, is_tied)
    # Transformers 5 writes tie_word_embeddings=true for every T5; the output scale is reliable.
    usual = "gated-gelu" if family in ("mt5", "umt5") else "relu"
    is_gated, inner = _parse_feed_forward_proj(values.get("feed_forward_proj", usual))
    if "dense_act_fn" in values:  # in Transformers it and is_gated_act take precedence
        inner = get_activation(values, "dense_act_fn", "relu")
    return {
        "feedforward.activation": inner,
        "feedforward.gated": get_bool(values, "is_gated_act", is_gated),
    } | _output_fields(values, is_tied=is_tied and is_scaled, is_scaled=is_scaled)


def _parse_feed_forward_proj(name: Any) -> tuple[bool, Activation]:
    """Whether a `feed_forward_proj` is gated, and its activation.

    >>> _parse_feed_forward_proj("gated-gelu")
    (True, 'gelu_tanh')

    Raises ArtifactError if it is unsupported.
    """
    is_gated = str(name).startswith("gated-")
    activation = str(name).removeprefix("gated-")
    if name == "gated-gelu":  # in T5 1.1 it means the tanh approximation
        return True, "gelu_tanh"
    if activation not in ACTIVATIONS:
        known = f"groundup supports {', '.join(ACTIVATIONS)}, with or without the prefix `gated-`"
        raise ArtifactError(f"config.json has feed_forward_proj={name!r}; {known}.")
    return is_gated, ACTIVATIONS[activation]


def _write_t5(config: ModelConfig, family: str) -> Values:
    feed = config.feedforward
    inner = hf_activation(feed.activation, "gelu" if feed.gated else "gelu_new")
    scale = {} if family == "mt5" else {"scale_decoder_outputs": config.output.scale != 1.0}
    return {
        "is_encoder_decoder": True, "dropout_rate": 0.0,
        "feed_forward_proj": f"gated-{inner}" if feed.gated else inner, **scale,
    }  # fmt: skip


def _t5_from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names; copy the embedding to a missing untied head.

    Raises ArtifactError if the stacks have different embeddings.
    """
    state = merge_tied_embeddings(state, "shared.weight", EMBEDDING_COPIES)
    state.pop(UNUSED_TENSOR, None)
    if not config.tied_embeddings and "shared.weight" in state:
        state.setdefault("lm_head.weight", state["shared.weight"].clone())
    return rename_tensors(state, _tensor_names(config))


def _t5_to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    return rename_tensors(state, _tensor_names(config), to_hf=True)


SWITCH_FAMILY, EXPERTS = "switch_transformers", "feedforward.experts."
ROUTER = ("mlp.router.classifier.", "experts.router.")
ROUTERS: NamePairs = tuple(
    (f"{stack}.block.{{}}.layer.{part}.{ROUTER[0]}", f"{prefix}layers.{{}}.{ROUTER[1]}")
    for stack, prefix, part in STACKS
)
SWITCH_NAMES = (*_attention_names(), *ROUTERS, *_feedforward_names("mlp", gated=False))
EXPERT_PROJECTIONS = (("wi", "up_proj"), ("wo", "down_proj"))


def _read_switch(values: Values) -> Values:
    is_tied = get_bool(values, "tie_word_embeddings", True)
    return {
        EXPERTS + "every": _parse_expert_interval(values),
        EXPERTS + "capacity_factor": get_float(values, "capacity_factor", None),
        EXPERTS + "capacity": _parse_expert_capacity(values),
    } | _output_fields(values, is_tied=is_tied, is_scaled=is_tied)


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
    encoder = get_int(values, "num_layers", SWITCH_FAMILY)
    decoder = get_int(values, "num_decoder_layers", SWITCH_FAMILY, encoder)
    sparse = [get_int(values, f"num_sparse_{each}_layers", SWITCH_FAMILY, 3, minimum=0)
              for each in ("encoder", "decoder")]  # fmt: skip
    steps = (encoder // (sparse[0] or 1), decoder // (sparse[1] or 1))
    require_supported(values, {"encoder_sparse_step": steps[:1], "decoder_sparse_step": steps[1:]})
    layers = _hf_sparse_layers(encoder, sparse[0]), _hf_sparse_layers(decoder, sparse[1])
    for interval in (1, 2):  # in Transformers the first or the second layer is always sparse
        if layers == (_own_expert_layers(encoder, interval), _own_expert_layers(decoder, interval)):
            return interval
    encoder, decoder = (", ".join(map(str, each[:4])) + ", …" * (len(each) > 4) for each in layers)
    raise ArtifactError(
        f"config.json has num_sparse_encoder_layers={sparse[0]} and num_sparse_decoder_layers="
        f"{sparse[1]}, experts in layers {encoder} and {decoder}; groundup supports all or every "
        "second layer, the same in both stacks."
    )


def _own_expert_layers(layers: int, every: int) -> range:
    return range(every - 1, layers, every)


def _hf_sparse_count(layers: int, every: int) -> int:
    """The number of sparse layers that gives the same expert layers in Transformers.

    Raises ConfigError if none does.
    """
    for count in range(1, layers + 1):
        if _hf_sparse_layers(layers, count) == _own_expert_layers(layers, every):
            return count
    what = f"ExpertsConfig.every={every} of {layers} layers cannot be written as {SWITCH_FAMILY}"
    raise ConfigError(f"{what}, which has experts in all layers or every second.")


def _parse_expert_capacity(values: Mapping[str, Any]) -> int | None:
    """Maximum tokens of a sequence per expert; None if it cannot be exceeded."""
    limit = get_int(values, "expert_capacity", SWITCH_FAMILY, 64)
    length = get_int(values, "n_positions", SWITCH_FAMILY, DEFAULT_CONTEXT)
    return None if limit >= length else limit


def _write_switch(config: ModelConfig) -> Values:
    experts = config.feedforward.experts
    assert experts is not None, "the outline has keys of them"
    factor = experts.capacity_factor
    return {
        "is_encoder_decoder": True,
        "dropout_rate": 0.0,
        "num_sparse_encoder_layers": _hf_sparse_count(config.encoder_layers, experts.every),
        "num_sparse_decoder_layers": _hf_sparse_count(config.layers, experts.every),
        "expert_capacity": experts.capacity or config.context_length,
        "router_bias": False,
        "router_jitter_noise": 0.0,
        "router_dtype": "float32",
    } | ({} if factor is None else {"capacity_factor": factor})


def _switch_from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names; stack a layer's experts.

    Raises ArtifactError if the stacks have different embeddings.
    """
    state = rename_tensors(
        merge_tied_embeddings(state, "shared.weight", EMBEDDING_COPIES), SWITCH_NAMES
    )
    experts = config.feedforward.experts
    assert experts is not None, "a Switch has experts"
    for hf_name, name in _expert_names(config):
        parts = [state.pop(hf_name.format(i), None) for i in range(experts.count)]
        if all(part is not None for part in parts):
            state[name] = torch.stack(parts)  # pyright: ignore[reportArgumentType]
    return state


def _switch_to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names.

    With an untied head Transformers ties no embeddings, so both copies are written too.
    """
    result = rename_tensors(state, SWITCH_NAMES, to_hf=True)
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


def _t5_family(
    name: str, *, shared: bool = True, scale: str = "scale_decoder_outputs", ignored: str = ""
) -> Family:
    """A family of T5's tensors.

    shared  whether all layers of a stack share a bias of distances
    scale   the key of its scaled output, if it has one
    """
    return SHARED._replace(
        name=name, architecture=f"{name.upper()}ForConditionalGeneration",
        always={**SHARED.always, "position.shared": shared}, read_more=_read_t5,
        write_more=lambda config: _write_t5(config, name),
        more_keys=SHARED.more_keys | word_set("feed_forward_proj is_gated_act", scale),
        ignored=word_set(ignored), aliases=ALIASES | {"head_dim": "d_kv"},
    ).family()._replace(
        from_hf_state_dict=_t5_from_hf_state_dict, to_hf_state_dict=_t5_to_hf_state_dict
    )  # fmt: skip


T5, MT5 = _t5_family("t5"), _t5_family("mt5", scale="")
UMT5 = _t5_family("umt5", shared=False, ignored="scalable_attention")
SWITCH = SHARED._replace(
    name=SWITCH_FAMILY, architecture="SwitchTransformersForConditionalGeneration",
    keys=(*SHARED.keys, Key("dense_act_fn", "feedforward.activation", "relu"),
          Key("num_experts", EXPERTS + "count", int)),
    always={**SHARED.always, "feedforward.gated": False, EXPERTS + "chosen": 1,
            EXPERTS + "normalised": False},
    read_more=_read_switch, write_more=_write_switch,
    more_keys=SHARED.more_keys | word_set("""
        capacity_factor decoder_sparse_step encoder_sparse_step expert_capacity
        num_sparse_decoder_layers num_sparse_encoder_layers
        """),
    fixed={"batch_prioritized_routing": (False,), "feed_forward_proj": ("relu",),
           "is_gated_act": (False,), "router_bias": (False, None),
           "router_dtype": ("float32",), "router_type": ("tokens_masked",)},
    ignored=word_set("add_router_probs router_ignore_padding_tokens"),
).family()._replace(
    from_hf_state_dict=_switch_from_hf_state_dict, to_hf_state_dict=_switch_to_hf_state_dict
)  # fmt: skip
