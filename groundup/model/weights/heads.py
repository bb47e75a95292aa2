"""Heads on disk: classifiers as Transformers keeps them, vectors as sentence-transformers does.

    BertForTokenClassification  and the like: the model and a classifier (families/classifiers.py)
    modules.json, 1_Pooling/    an encoder and how its states become one vector (sentences.py)
    groundup_head               in config.json: a head that neither says, beside our own names

A model with a head has no logits of tokens: its masked head or output embedding is left out.
"""

from pathlib import Path
from typing import Any

import torch

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
"""What reads tokens off the hidden states, under our names."""


def load_with_head(path: Path | str, dtype: torch.dtype | None = None) -> WithHead:
    """Open a directory of a model with a head, ready for inference; see `load`.

    Raises ArtifactError if it has none, or one that we do not compute.
    """
    path = Path(path)
    has_steps = (path / MODULES).is_file()  # and then perhaps no config.json beside them
    if (path / CONFIG).is_file() or not has_steps:
        if has_head(read_values(path)):
            return load_classifier(path, dtype)
    if not has_steps:
        raise ArtifactError(
            f"{path} has no head of a sequence, of tokens or of vectors; open it with load."
        )
    found = read_sentences(path)
    model = load(found.encoder, dtype)
    return WithHead(model, Head(found.head, model.config.width)).eval()


def load_classifier(path: Path, dtype: torch.dtype | None) -> WithHead:
    """Open a directory whose config.json describes a head."""
    values = read_values(path)
    config = without_output(read_config(values, str(path / CONFIG)))
    head, place = read_head(values, config)
    rules, body, top = [rule(begin) for begin, _ in place.pairs], {}, {}
    for name, tensor in read_tensors(path).items():
        (top if any(each.match(name) for each in rules) else body)[name] = tensor
    model = assembled(path, values, config, without(body, r"lm_head\."), dtype)
    made = Head(head, config.width).to(model.head.dtype)
    fit(made, renamed(top, place.pairs), path)
    return WithHead(model, made).eval()


def save_with_head(
    model: WithHead,
    path: Path | str,
    tokenizer: Path | str | None = None,
    *,
    chat: bool | None = None,
) -> None:
    """Write a directory of a model with a head; the arguments are those of `save`.

    Raises ConfigError for other modules than ours.
    """
    base, head, path = model.model, model.head, Path(path)
    if not isinstance(base, Transformer) or not isinstance(head, Head):
        raise ConfigError("Only a Transformer with a Head on it is saved with its head.")
    config = without_output(base.config)
    values, place = described(base, head.config)
    state = family_of(values, str(path)).theirs(without(own_state(base), OUTPUT), config)
    top = {name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}
    tensors = {place.prefix + name: tensor for name, tensor in state.items()}
    tensors |= renamed(top, place.pairs, to_theirs=True)
    write_directory(path, values | stored(base), tensors, tokenizer, chat)
    if is_pooling(head.config):
        write_sentences(path, head.config, config)


def described(base: Transformer, head: HeadConfig) -> Written:
    """The config.json of a model with a head: a peer's where it can say that, else our own."""
    config = without_output(base.config)
    values: dict[str, Any] = family_for(config, packed=has_int8(base)).write(config)
    if is_pooling(head):
        return Written(values, Place())
    ours = Written(own.write(config) | {KEY: head.plain()}, OWN)
    return write_head(head, values, config) or ours


def is_pooling(head: HeadConfig) -> bool:
    """Whether a head makes one vector of the states and has no weights of its own."""
    return head.kind == "embedding" and head.inner == "none"
