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

from ..families import own
from ..families.classifiers import (
    KEY,
    OWN,
    Place,
    Written,
    has_head,
    read_head,
    without_output,
    write_head,
)
from ..families.names import renamed, rule, without
from ..families.registry import family_for, family_of, read_config
from ..heads import Head, HeadConfig, WithHead
from ..transformer import Transformer
from .directory import (
    CONFIG,
    assembled,
    fit,
    has_int8,
    load,
    own_state,
    read_tensors,
    read_values,
    stored,
    write_directory,
)
from .sentences import MODULES, read_sentences, write_sentences

OUTPUT = r"transform\.|lm_head\.|lm_bias$"
"""Tensors of the output layer, by groundup's names."""


def load_with_head(path: Path | str, dtype: torch.dtype | None = None) -> WithHead:
    """Open the directory of a model with a head, ready for inference; see `load`.

    Raises ArtifactError if it has no head, or an unsupported one.
    """
    path = Path(path)
    has_modules = (path / MODULES).is_file()  # then there may be no config.json at this level
    if (path / CONFIG).is_file() or not has_modules:
        if has_head(read_values(path)):
            return load_classifier(path, dtype)
    if not has_modules:
        raise ArtifactError(f"{path} has no classifier or embedding head; open it with load.")
    spec = read_sentences(path)
    model = load(spec.encoder, dtype)
    return WithHead(model, Head(spec.head, model.config.width)).eval()


def load_classifier(path: Path, dtype: torch.dtype | None) -> WithHead:
    """Open a directory whose config.json describes a head."""
    values = read_values(path)
    config = without_output(read_config(values, str(path / CONFIG)))
    head_config, layout = read_head(values, config)
    patterns = [rule(prefix) for prefix, _ in layout.pairs]
    base_state: dict[str, Tensor] = {}
    head_state: dict[str, Tensor] = {}
    for name, tensor in read_tensors(path).items():
        is_head = any(pattern.match(name) for pattern in patterns)
        (head_state if is_head else base_state)[name] = tensor
    model = assembled(path, values, config, without(base_state, r"lm_head\."), dtype)
    head = Head(head_config, config.width).to(model.head.dtype)
    fit(head, renamed(head_state, layout.pairs), path)
    return WithHead(model, head).eval()


def save_with_head(
    model: WithHead,
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
    config = without_output(base.config)
    values, layout = described(base, head.config)
    state = family_of(values, str(path)).theirs(without(own_state(base), OUTPUT), config)
    head_state = {name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}
    tensors = {layout.prefix + name: tensor for name, tensor in state.items()}
    tensors |= renamed(head_state, layout.pairs, to_theirs=True)
    write_directory(path, values | stored(base), tensors, tokenizer, chat)
    if is_pooling(head.config):
        write_sentences(path, head.config, config)


def described(base: Transformer, head: HeadConfig) -> Written:
    """The config.json of a model with a head, in a Hugging Face format if possible."""
    config = without_output(base.config)
    values: dict[str, Any] = family_for(config, packed=has_int8(base)).write(config)
    if is_pooling(head):
        return Written(values, Place())
    fallback = Written(own.write(config) | {KEY: head.plain()}, OWN)
    return write_head(head, values, config) or fallback


def is_pooling(head: HeadConfig) -> bool:
    """Whether a head only pools the states, without weights."""
    return head.kind == "embedding" and head.inner == "none"
