"""A family of encoders like BERT as a table: the names of its classes, tensors and keys.

With or without its masked-LM head, as the `architectures` of config.json say: without it the model
returns hidden states. Pooler and classifiers are heads (weights/heads.py) and are dropped here. Old
files call a norm's weights gamma and beta, and some omit the encoder's prefix.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...configuration.config import Activation, ModelConfig
from ..decoder_keys import DECODERS_ONLY
from ..decoders.outline import Key, Outline, Values
from ..keys import AllowedValues, ConfigKeys, Family
from ..names import (
    NamePairs,
    StateDict,
    drop_tensors,
    get_activation,
    get_architectures,
    get_int,
    rename_tensors,
)

DISCRIMINATOR = "ElectraForPreTraining"
"""The class of a head that tells replaced tokens; other classes of this ending predict tokens."""
BIDIRECTIONAL: AllowedValues = {
    "is_causal": (False, None), "position_embedding_type": ("absolute", None),
}  # fmt: skip
FIELDS: Values = {
    "kind": "encoder", "norm.kind": "layer", "norm.place": "post", "attention.bias": "all",
    "position.kind": "learned", "embedding.norm": True, "feedforward.gated": False,
    "feedforward.bias": True,
}  # fmt: skip
EMBEDDING_NAMES = (
    ("embeddings.word_embeddings.", "embed_tokens."),
    ("embeddings.position_embeddings.", "embed_positions."),
    ("embeddings.token_type_embeddings.", "embed_types."),
    ("embeddings.LayerNorm.", "embed_norm."),
)
LAYER_NAMES = (
    "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj",
    "attention_out_norm", "feedforward.up_proj", "feedforward.down_proj", "feedforward_out_norm",
)  # fmt: skip
DROPPED_TENSORS = r"pooler\.|cls\.seq_relationship\.|embeddings\.(position_ids|token_type_ids)$"
"""Heads of other tasks, and position buffers of older files."""


def layer_names(prefix: str, names: str) -> NamePairs:
    """The pairs of a layer's tensors from the files' names, in the order of LAYER_NAMES."""
    pairs = zip(names.split(), LAYER_NAMES, strict=True)
    return tuple((f"{prefix}.{hf_name}.", f"layers.{{}}.{own}.") for hf_name, own in pairs)


class EncoderOutline(NamedTuple):
    """What tells a family of encoders from others."""

    name: str
    """The model_type."""
    class_prefix: str
    """Prefix of its class names."""
    prefix: str
    """Of its encoder's tensors in a model with a head, without the dot."""
    names: NamePairs
    """The encoder's tensors."""
    transform: tuple[str, str]
    """Prefixes of the dense layer and norm of the masked-LM head."""
    decoder: str
    """The output embedding; its bias is named without `.decoder`."""
    activation: Activation | None = "gelu"
    """Of the masked-LM head; None: as in the feed-forwards."""
    act: str = "gelu"
    """Default of the feed-forwards' activation."""
    eps: float = 1e-12
    """Default of the norms' epsilon."""
    types: int = 2
    """Default number of token types."""
    default_class: str = "Model"
    """Suffix of the class of files that name none."""
    renamed: Mapping[str, str] = {}
    """Keys that every family reads, and the family's own names of them."""
    absent: frozenset[str] = frozenset()
    """Keys that every family reads but this one."""
    read_more: Callable[[Values], Mapping[str, Any]] = lambda values: {}
    """Further fields, by path."""
    write_more: Callable[[ModelConfig], Values] = lambda config: {}
    """Their keys."""
    offset: Callable[[Values], int] = lambda values: 0
    """Unused position embeddings before the first."""
    keys: ConfigKeys = ConfigKeys(frozenset())
    """Those of `read_more` and `offset`, and those of one value or no effect."""
    dropped: str = ""
    """Pattern of further unused tensors."""

    @property
    def head(self) -> NamePairs:
        """Names of the masked-LM head's tensors."""
        dense, norm = self.transform
        bias, rest = (self.bias, "lm_bias"), (self.decoder + ".", "lm_head.")
        return ((dense, "transform.dense."), (norm, "transform.norm."), bias, rest)

    @property
    def bias(self) -> str:
        """The bias of the masked-LM head, one number per token."""
        return self.decoder.removesuffix(".decoder") + ".bias"

    def key(self, name: str) -> str:
        """The family's own name of a key."""
        return self.renamed.get(name, name)


def _read(outline: EncoderOutline, values: Values) -> Values:
    """The fields besides sizes; raises ArtifactError naming a wrong key."""
    offset, least = outline.offset(values), min(1, outline.types)
    fields: Values = {
        "embedding.types": get_int(
            values, "type_vocab_size", outline.name, outline.types, minimum=least
        ),
        "context_length": get_int(values, "max_position_embeddings", outline.name) - offset,
        "position.offset": offset,
    }
    if has_mlm_head(values, outline.default_class):
        usual = get_activation(values, outline.key("hidden_act"), outline.act)
        fields |= {
            "output.transform": "dense", "output.bias": True,
            "output.activation": outline.activation or usual,
        }  # fmt: skip
    else:
        fields |= {"output.logits": False, "tied_embeddings": True}
    return {**fields, **outline.read_more(values)}


def has_mlm_head(values: Mapping[str, Any], default: str = "ForMaskedLM") -> bool:
    """Whether a model has a masked-LM head; `default` is the class of files that name none.

    >>> has_mlm_head({"architectures": ["BertModel"]})
    False
    """
    classes = get_architectures(values) or [default]
    suffixes = ("ForMaskedLM", "ForPreTraining")
    return any(name.endswith(suffixes) and name != DISCRIMINATOR for name in classes)


def _write(outline: EncoderOutline, config: ModelConfig) -> Values:
    kind = "ForMaskedLM" if config.output.transform == "dense" else "Model"
    values = {
        "architectures": [outline.class_prefix + kind],
        "max_position_embeddings": config.context_length + config.position.offset,
        "type_vocab_size": max(min(1, outline.types), config.embedding.types),
    }
    values = {key: value for key, value in values.items() if key not in outline.absent}
    return values | outline.write_more(config)


def _modernise_name(name: str) -> str:
    """The present name of a norm's weight.

    >>> _modernise_name("embeddings.LayerNorm.gamma")
    'embeddings.LayerNorm.weight'
    """
    return re.sub(r"Norm\.gamma$", "Norm.weight", re.sub(r"Norm\.beta$", "Norm.bias", name))


def _from_hf_state_dict(
    outline: EncoderOutline, state: StateDict, config: ModelConfig
) -> StateDict:
    prefix = f"{outline.prefix}."
    state = {_modernise_name(name.removeprefix(prefix)): t for name, t in state.items()}
    dropped = [DROPPED_TENSORS] + [outline.dropped] * bool(outline.dropped)
    if config.output.transform == "none":
        dropped += [re.escape(hf_name) for hf_name, _ in outline.head]
    state = drop_tensors(state, "|".join(dropped))
    bias = state.pop(f"{outline.decoder}.bias", None)  # the other one is its copy, or unused
    if bias is not None:
        state[outline.bias] = bias
    return rename_tensors(state, (*outline.names, *outline.head))


def _to_hf_state_dict(outline: EncoderOutline, state: StateDict, config: ModelConfig) -> StateDict:
    is_masked = config.output.transform == "dense"
    prefix = f"{outline.prefix}." if is_masked else ""
    encoder = tuple((prefix + a, b) for a, b in outline.names)
    result = rename_tensors(state, (*encoder, *outline.head), to_hf=True)
    if is_masked and not config.tied_embeddings:  # then only the decoder's own bias is read
        result[f"{outline.decoder}.bias"] = result[outline.bias].clone()
    return result


def encoder_family(outline: EncoderOutline) -> Family:
    """A family of an outline."""
    own = outline.keys
    keys = (
        Key(outline.key("hidden_act"), "feedforward.activation", outline.act),
        Key("layer_norm_eps", "norm.eps", outline.eps),
    )
    family = Outline(
        outline.name, outline.class_prefix + "Model",
        tuple(key for key in keys if key.name not in outline.absent),
        FIELDS | {"norm.eps": outline.eps}, tied=True,
        absent=DECODERS_ONLY | {"attention_dropout", "use_cache"},
        renamed={name: usual for usual, name in outline.renamed.items()},
        read_more=lambda values: _read(outline, values),
        write_more=lambda config: _write(outline, config),
        more_keys=own.used | {"type_vocab_size"} - outline.absent,
        fixed=BIDIRECTIONAL | own.fixed, ignored=own.ignored, aliases=own.aliases,
    ).family()  # fmt: skip
    return family._replace(
        from_hf_state_dict=lambda state, config: _from_hf_state_dict(outline, state, config),
        to_hf_state_dict=lambda state, config: _to_hf_state_dict(outline, state, config),
    )
