"""Model families by the `model_type` of their config.json.

A model is written as the first family that can express its configuration, or with the model_type
`groundup` if none can: config.json then holds the ModelConfig as it is, and tensors keep groundup's
names. Examples are Transformer-XL positions, or Longformer's patterns in a decoder. Only groundup
opens such files.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from groundup.core import ArtifactError, ConfigError

from ..configuration.config import ModelConfig
from .bart import BART, MBART
from .decoders.bloom import BLOOM
from .decoders.cohere import COHERE
from .decoders.deepseek import DEEPSEEK_V2, DEEPSEEK_V3
from .decoders.exaone4 import EXAONE4
from .decoders.falcon import FALCON
from .decoders.gemma import GEMMA, GEMMA2, GEMMA3, GEMMA3_TEXT
from .decoders.glm4 import GLM4
from .decoders.gpt import GPT1, GPT2
from .decoders.gpt_neox import GPT_NEOX
from .decoders.gpt_oss import GPT_OSS
from .decoders.gptj import GPTJ
from .decoders.granite import GRANITE
from .decoders.granite_moe import GRANITE_MOE
from .decoders.llama import LLAMA, MISTRAL, QWEN2, QWEN3
from .decoders.llama4 import LLAMA4
from .decoders.minicpm3 import MINICPM3
from .decoders.mixtral import MIXTRAL, QWEN3_MOE
from .decoders.nemotron import NEMOTRON
from .decoders.olmo import OLMO, OLMO2, OLMO3
from .decoders.opt import OPT
from .decoders.phi import PHI, PHI3
from .decoders.smollm3 import SMOLLM3
from .decoders.stablelm import STABLELM
from .decoders.starcoder2 import STARCODER2
from .encoders.bert import ALBERT, BERT, DISTILBERT, ELECTRA, MPNET, ROBERTA, XLM_ROBERTA
from .encoders.deberta_v2 import DEBERTA_V2
from .keys import ConfigKeys, Family, validate_keys, word_set
from .modernbert import MODERNBERT
from .t5 import MT5, SWITCH, T5, UMT5

CONFIG_KEY = "groundup"


def _own_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    try:
        return ModelConfig(**values[CONFIG_KEY])
    except (KeyError, TypeError, ValidationError, ConfigError) as error:
        raise ArtifactError(
            f"config.json has no valid {CONFIG_KEY!r} configuration ({error})."
        ) from None


def _own_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["Groundup"], "model_type": "groundup", CONFIG_KEY: config.model_dump(),
    }  # fmt: skip


OWN = Family(
    "groundup",
    ConfigKeys(word_set(CONFIG_KEY, "groundup_head")),
    _own_from_hf_config,
    _own_to_hf_config,
    lambda state, config: dict(state),
    lambda state, config: dict(state),
)
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        QWEN3, LLAMA, MISTRAL, MIXTRAL, QWEN2, GEMMA3_TEXT, GEMMA3, OLMO2, T5, BART, SWITCH, BERT,
        ROBERTA, XLM_ROBERTA, DISTILBERT, ELECTRA, ALBERT, MPNET, DEBERTA_V2, MODERNBERT,
        GPT2, GPT1, OLMO, OLMO3, SMOLLM3, PHI3, PHI, GEMMA, GEMMA2, GRANITE,
        STARCODER2, STABLELM, GPT_NEOX, QWEN3_MOE, COHERE, NEMOTRON, GLM4, EXAONE4, GPTJ,
        FALCON, BLOOM, OPT, MT5, UMT5, MBART, GRANITE_MOE, GPT_OSS, DEEPSEEK_V2, DEEPSEEK_V3,
        MINICPM3, LLAMA4, OWN,
    )
}  # fmt: skip
"""By model_type, in the order in which `choose_family` tries them."""
STATES = "a state of linear attention, convolutions or a recurrence"
UNSUPPORTED_LAYERS = dict.fromkeys(
    word_set("""
    bailing_hybrid bailing_moe_linear bamba falcon_h1 falcon_mamba glm5_next glm5_next_text
    granitemoehybrid inkling inkling2 inkling2_text inkling_text jamba kimi_linear lara_mini lfm2
    lfm2_moe lfm3 mamba mamba2 minimax minimax_text_01 nemotron_h olmo_hybrid plamo2 qwen3_5
    qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next qwen4_exp qwen4_exp_text recurrent_gemma
    rwkv rwkv5 rwkv6 rwkv7 xlstm zamba zamba2 zaya
    """),
    STATES,
) | dict.fromkeys(("deepseek_v32", "deepseek_v4"), "keys that an indexer selects")
"""What the layers of a model_type have instead of attention to all keys of a pattern."""


def get_family(config: dict[str, Any], where: str) -> Family:
    """The family of a config.json; raises ArtifactError for an unsupported model_type.

    where  named in the error
    """
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in UNSUPPORTED_LAYERS:
        what = f"{where} has model_type {kind!r}, whose layers have {UNSUPPORTED_LAYERS[kind]}"
        raise ArtifactError(f"{what}; groundup computes attention alone.")
    if not isinstance(kind, str):
        raise ArtifactError(f"{where} names no model_type, such as llama; it is not of a model.")
    if kind not in FAMILIES:
        near = get_close_matches(kind, FAMILIES, n=4, cutoff=0.0)
        what = f"{where} has model_type {kind[:60]!r}, none of {len(FAMILIES)} families"
        own = " Its own code (auto_map) is never run." if "auto_map" in config else ""
        raise ArtifactError(f"{what}; the nearest names are {', '.join(near)}.{own}")
    return FAMILIES[kind]


def read_config(values: dict[str, Any], where: str) -> ModelConfig:
    """Convert the values of a config.json to a ModelConfig.

    where  named in errors

    Raises ArtifactError for an unknown key, and for a missing, invalid or unsupported value.
    """
    family = get_family(values, where)
    try:
        return family.from_hf_config(validate_keys(values, family.keys, str(values["model_type"])))
    except ConfigError as error:
        raise ArtifactError(f"{where}: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ArtifactError(
            f"{where} has a value that is invalid for {values['model_type']} "
            f"({type(error).__name__}: {error}); copy or make the model again."
        ) from None


def to_hf_module(name: str, config: ModelConfig, first: str = "") -> str:
    """The Hugging Face name of a linear layer or embedding, such as layers.0.attention.q_proj.

    Raises ConfigError for families whose files fuse or transpose its weights.
    """
    family, probe = choose_family(config, first=first), torch.empty(1, 2)
    try:
        state = family.to_hf_state_dict({f"{name}.weight": probe}, config)
    except KeyError:  # a part of a fused matrix, without the others
        state = {}
    if len(state) != 1 or next(iter(state.values())).shape != probe.shape:
        what = f"{family.name} files fuse or transpose {name}"
        raise ConfigError(f"{what}, so that an adapter of it has no name there.")
    return next(iter(state)).removesuffix(".weight")


def to_hf_rows(
    outputs: Mapping[str, int], config: ModelConfig, first: str = ""
) -> dict[str, dict[str, Tensor]]:
    """Of each Hugging Face module, the rows that linear layers and embeddings have in it.

    outputs  rows of each, by groundup's name, such as layers.0.attention.q_proj
    first    see `choose_family`

    A family may fuse several into one module, in any order of rows. What its files transpose, or
    have more than once, is left out.
    """
    family, names = choose_family(config, first=first), list(outputs)
    probes = {
        f"{name}.weight": torch.stack([torch.full((rows,), float(i)), torch.arange(float(rows))], 1)
        for i, (name, rows) in enumerate(outputs.items())
    }
    try:
        state = family.to_hf_state_dict(probes, config)
    except KeyError:  # a writer that needs what is no layer, such as experts
        return {}
    modules: dict[str, dict[str, Tensor]] = {}
    seen = Counter[str]()
    for key, probe in state.items():
        owners, rows = probe.T if probe.ndim == 2 and probe.shape[1] == 2 else probe.new_empty(2, 0)
        parts = {}
        for i in owners.unique().long().tolist():
            places = (owners == i).nonzero()[:, 0]
            order = rows[places].argsort()
            if torch.equal(rows[places][order], torch.arange(float(outputs[names[i]]))):
                parts[names[i]] = places[order]
        if sum(map(len, parts.values())) == len(owners) > 0:
            modules[key.removesuffix(".weight")] = parts
            seen.update(parts.keys())
    return {m: parts for m, parts in modules.items() if all(seen[name] == 1 for name in parts)}


def choose_family(config: ModelConfig, *, packed: bool = False, first: str = "") -> Family:
    """The family to write a model of this configuration as.

    packed  whether the model has int8 weights
    first   a family that is tried before the others, such as that of its base's files
    """
    return next(possible_families(config, packed=packed, first=first))


def possible_families(
    config: ModelConfig, *, packed: bool = False, first: str = ""
) -> Iterator[Family]:
    """Every family that can express a configuration; our own, the last, always can."""
    for family in sorted(FAMILIES.values(), key=lambda each: each.name != first):
        try:
            if (family.supports_packed or not packed) and family.from_hf_config(
                family.to_hf_config(config)
            ) == config:
                yield family
        except (ConfigError, ArtifactError):
            continue
