"""Models with heads on disk, in the formats of Transformers and sentence-transformers.

    BertForTokenClassification  and others: a model and a classifier (families/classifiers.py)
    groundup_head               in config.json: a head that neither format can express
    modules.json                the modules: Transformer, Pooling, optionally Normalize
    1_Pooling/config.json       the pooling: first token, last token, or mean
    sentence_bert_config.json   maximum tokens of a text; longer ones are truncated

A model with a head has no token logits: its masked-LM head or output embedding is dropped. Pooling
is read, never guessed; modules with weights of their own are unsupported.
Source: sentence-transformers 6.2; Reimers and Gurevych 2019, arXiv:1908.10084.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from groundup.core import ArtifactError, ConfigError, write_json

from ..configuration.config import ModelConfig
from ..families.classifiers import (
    HEAD_KEY,
    OWN_HEAD_LAYOUT,
    HeadFiles,
    HeadLayout,
    has_head,
    read_head,
    without_own_output_weights,
    write_head,
)
from ..families.names import drop_tensors, prefix_pattern, rename_tensors
from ..families.registry import OWN, get_family, possible_families, read_config
from ..heads import Head, HeadConfig, ModelWithHead, Pooling
from ..transformer import Transformer
from .directory import (
    CONFIG,
    build_from_tensors,
    is_quantized,
    load_module_state,
    packed_state_dict,
    read_config_values,
    read_json_object,
    read_model_json,
    read_tensors,
    weight_config,
    write_directory,
)

MODULES, LENGTH_CONFIG, POOLING_FOLDER = "modules.json", "sentence_bert_config.json", "1_Pooling"
MODULE_TYPES = (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))
POOLINGS: dict[str, Pooling] = {"cls": "first", "mean": "mean", "lasttoken": "last"}
"""sentence-transformers' names of poolings, and groundup's."""
POOLING_FLAGS = {
    "cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}  # fmt: skip
"""The flags that older config.json files of poolings set."""


class SentenceEncoderSpec(NamedTuple):
    """The parts of an embedding model."""

    encoder: Path
    """Directory of the encoder."""
    head: HeadConfig
    limit: int | None = None
    """Maximum tokens of a text, [CLS] and [SEP] included; None: the encoder's context."""
    prompt: str = ""
    """Prefix of every text."""


def read_sentence_encoder(path: Path) -> SentenceEncoderSpec:
    """Read a sentence-transformers directory.

    Raises ArtifactError for unsupported modules, poolings and prompts.
    """
    steps = read_model_json(path / MODULES)
    try:
        kinds = tuple(str(step["type"]).rpartition(".")[2] for step in steps)
        folders = [path / Path(str(step["path"])).name for step in steps]  # never outside `path`
    except (TypeError, KeyError):
        raise ArtifactError(
            f"{path / MODULES} is not a list of modules with a type and a path each."
        ) from None
    if kinds not in MODULE_TYPES:
        what = f"{path / MODULES} has the modules {', '.join(kinds) or 'none'}; groundup supports"
        raise ArtifactError(f"{what} Transformer, Pooling and optionally Normalize.")
    pooling = _read_pooling(folders[1] / "config.json")
    head = HeadConfig(kind="embedding", pooling=pooling, unit=len(kinds) == 3)
    limit = _read_limit(folders[0] / LENGTH_CONFIG)
    return SentenceEncoderSpec(folders[0], head, limit, _read_prompt(path))


def _read_pooling(file: Path) -> Pooling:
    """The pooling of a config.json: a name in newer files, a flag in older ones.

    Raises ArtifactError for an unsupported pooling, and for several at once.
    """
    values = read_json_object(file)
    by_flag = {flag: name for name, flag in POOLING_FLAGS.items()}
    flags = [key for key, is_set in values.items() if key.startswith("pooling_mode_") and is_set]
    mode = values.get("pooling_mode")
    names = [str(mode)] if mode else [by_flag.get(flag, flag) for flag in flags]
    if len(names) != 1 or names[0] not in POOLINGS:
        what = f"{file} has the pooling {', '.join(names) or 'none'}"
        raise ArtifactError(f"{what}; groundup supports one of {', '.join(POOLINGS)}.")
    if values.get("include_prompt", True) is not True:
        raise ArtifactError(f"{file} has include_prompt=false, which groundup does not support.")
    return POOLINGS[names[0]]


def _read_limit(file: Path) -> int | None:
    limit = read_json_object(file).get("max_seq_length") if file.is_file() else None
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ArtifactError(f"{file} has max_seq_length={limit!r}; expected a number of tokens.")
    return limit


def _read_prompt(path: Path) -> str:
    file = path / "config_sentence_transformers.json"
    values: dict[str, Any] = read_json_object(file) if file.is_file() else {}
    name, prompts = values.get("default_prompt_name"), values.get("prompts") or {}
    if name is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise ArtifactError(f"{file} has default_prompt_name={name!r} and no such prompt.")
    return prompts[name]


def write_sentence_encoder(path: Path, head: HeadConfig, config: ModelConfig) -> None:
    """Write the modules and pooling of a saved encoder."""
    kinds = MODULE_TYPES[head.unit]
    folders = ("", POOLING_FOLDER, "2_Normalize")
    module = "sentence_transformers.models."
    steps = [
        {"idx": i, "name": str(i), "path": folders[i], "type": module + kind}
        for i, kind in enumerate(kinds)
    ]
    pooling_name = {pooling: name for name, pooling in POOLINGS.items()}[head.pooling]
    flags = {flag: name == pooling_name for name, flag in POOLING_FLAGS.items()}
    others = dict.fromkeys(("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"), False)
    (path / POOLING_FOLDER).mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": config.width} | flags | others
    write_json(path / POOLING_FOLDER / "config.json", pooling)
    limits = {"max_seq_length": config.context_length, "do_lower_case": False}
    write_json(path / LENGTH_CONFIG, limits)
    write_json(path / MODULES, steps)


OUTPUT_TENSORS = r"transform\.|lm_head\.|lm_bias$"
"""Tensors of the output layer, by groundup's names."""


def load_with_head(path: Path | str, dtype: torch.dtype | None = None) -> ModelWithHead:
    """Open the directory of a model with a head, ready for inference; see `load`.

    Raises ArtifactError if it has no head, or an unsupported one.
    """
    path = Path(path)
    has_modules = (path / MODULES).is_file()  # then there may be no config.json at this level
    if (path / CONFIG).is_file() or not has_modules:
        if has_head(read_config_values(path)):
            return _load_classifier(path, dtype)
    if not has_modules:
        raise ArtifactError(f"{path} has no head: no classifier, reward or embedding model.")
    spec = read_sentence_encoder(path)
    model = load_body(spec.encoder, dtype)
    return ModelWithHead(model, Head(spec.head, model.config.width)).eval()


def load_body(path: Path, dtype: torch.dtype | None = None) -> Transformer:
    """Open a model without its output weights, which the files of encoders of texts may lack."""
    values = read_config_values(path)
    config = without_own_output_weights(read_config(values, str(path / CONFIG)))
    tensors = drop_tensors(read_tensors(path), r"lm_head\.")
    return build_from_tensors(path, values, config, tensors, dtype)


def _load_classifier(path: Path, dtype: torch.dtype | None) -> ModelWithHead:
    values = read_config_values(path)
    config = without_own_output_weights(read_config(values, str(path / CONFIG)))
    head_config, layout = read_head(values, config)
    patterns = [prefix_pattern(prefix) for prefix, _ in layout.pairs]
    base_state: dict[str, Tensor] = {}
    head_state: dict[str, Tensor] = {}
    for name, tensor in read_tensors(path).items():
        is_head = any(pattern.match(name) for pattern in patterns)
        (head_state if is_head else base_state)[name] = tensor
    model = build_from_tensors(path, values, config, drop_tensors(base_state, r"lm_head\."), dtype)
    head = Head(head_config, config.width).to(model.head.dtype)
    load_module_state(head, rename_tensors(head_state, layout.pairs), path)
    return ModelWithHead(model, head).eval()


def save_with_head(
    model: ModelWithHead, path: Path | str, tokenizer: Path | str | None = None, *,
    chat: bool | None = None,
) -> None:  # fmt: skip
    """Write the directory of a model with a head; the arguments are those of `save`.

    Raises ConfigError unless it is a Transformer with a Head.
    """
    base, head, path = model.model, model.head, Path(path)
    if not isinstance(base, Transformer) or not isinstance(head, Head):
        what = "save_with_head needs a Transformer with a Head"
        raise ConfigError(f"{what}; got {type(base).__name__} with {type(head).__name__}.")
    config = without_own_output_weights(base.config)
    pools_only = head.config.kind == "embedding" and head.config.inner == "none"
    values, layout = _describe_head(base, head.config, pools_only)
    own = drop_tensors(packed_state_dict(base), OUTPUT_TENSORS)
    state = get_family(values, str(path)).to_hf_state_dict(own, config)
    head_state = {name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}
    tensors = {layout.prefix + name: tensor for name, tensor in state.items()}
    tensors |= rename_tensors(head_state, layout.pairs, to_hf=True)
    write_directory(path, values | weight_config(base), tensors, tokenizer, chat)
    if pools_only:
        write_sentence_encoder(path, head.config, config)


def _describe_head(base: Transformer, head: HeadConfig, pools_only: bool) -> HeadFiles:
    """The config.json of a model with a head, in a Hugging Face format if possible."""
    config = without_own_output_weights(base.config)
    for family in possible_families(config, packed=is_quantized(base)):
        values: dict[str, Any] = family.to_hf_config(config)
        if pools_only:
            return HeadFiles(values, HeadLayout())
        if files := write_head(head, values, config):
            return files
    return HeadFiles(OWN.to_hf_config(config) | {HEAD_KEY: head.to_dict()}, OWN_HEAD_LAYOUT)
