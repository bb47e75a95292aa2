"""Models with heads on disk, in the formats of Transformers and sentence-transformers.

    BertForTokenClassification  and others: a model and a classifier (families/classifiers.py)
    modules.json, 1_Pooling/    an encoder and its pooling (sentences.py)
    groundup_head               in config.json: a head that neither format can express

A model with a head has no token logits: its masked-LM head or output embedding is dropped.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.core import ArtifactError, ConfigError

from ..families.classifiers import (
    HEAD_KEY,
    OWN_HEAD_LAYOUT,
    HeadFiles,
    HeadLayout,
    drop_output_layer,
    has_head,
    read_head,
    write_head,
)
from ..families.names import drop_tensors, prefix_pattern, rename_tensors
from ..families.registry import OWN, choose_family, get_family, read_config
from ..heads import Head, HeadConfig, ModelWithHead
from ..transformer import Transformer
from .directory import (
    CONFIG,
    build_from_tensors,
    has_int8,
    load,
    load_module_state,
    packed_state_dict,
    read_config_values,
    read_tensors,
    weight_config,
    write_directory,
)
from .sentences import MODULES, read_sentence_encoder, write_sentence_encoder

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
        raise ArtifactError(f"{path} has no classifier or embedding head; open it with load.")
    spec = read_sentence_encoder(path)
    model = load(spec.encoder, dtype)
    return ModelWithHead(model, Head(spec.head, model.config.width)).eval()


def _load_classifier(path: Path, dtype: torch.dtype | None) -> ModelWithHead:
    """Open a directory whose config.json describes a head."""
    values = read_config_values(path)
    config = drop_output_layer(read_config(values, str(path / CONFIG)))
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
    model: ModelWithHead,
    path: Path | str,
    tokenizer: Path | str | None = None,
    *,
    chat: bool | None = None,
) -> None:
    """Write the directory of a model with a head; the arguments are those of `save`.

    Raises ConfigError unless it is a Transformer with a Head.
    """
    base, head, path = model.model, model.head, Path(path)
    if not isinstance(base, Transformer) or not isinstance(head, Head):
        raise ConfigError(
            f"save_with_head needs a Transformer with a Head; got {type(base).__name__} with "
            f"{type(head).__name__}."
        )
    config = drop_output_layer(base.config)
    values, layout = _describe_head(base, head.config)
    state = get_family(values, str(path)).to_hf_state_dict(
        drop_tensors(packed_state_dict(base), OUTPUT_TENSORS), config
    )
    head_state = {name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}
    tensors = {layout.prefix + name: tensor for name, tensor in state.items()}
    tensors |= rename_tensors(head_state, layout.pairs, to_hf=True)
    write_directory(path, values | weight_config(base), tensors, tokenizer, chat)
    if _is_pooling_only(head.config):
        write_sentence_encoder(path, head.config, config)


def _describe_head(base: Transformer, head: HeadConfig) -> HeadFiles:
    """The config.json of a model with a head, in a Hugging Face format if possible."""
    config = drop_output_layer(base.config)
    values: dict[str, Any] = choose_family(config, packed=has_int8(base)).to_hf_config(config)
    if _is_pooling_only(head):
        return HeadFiles(values, HeadLayout())
    fallback = HeadFiles(OWN.to_hf_config(config) | {HEAD_KEY: head.to_dict()}, OWN_HEAD_LAYOUT)
    return write_head(head, values, config) or fallback


def _is_pooling_only(head: HeadConfig) -> bool:
    """Whether a head only pools the states, without weights."""
    return head.kind == "embedding" and head.inner == "none"
