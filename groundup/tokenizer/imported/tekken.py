"""Mistral's tekken.json: byte sequences with ranks, merged like in tiktoken.

Ranks serve as scores, so pieces.py computes the merges. Special tokens have the first ids.
"""

import base64
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from groundup.core import ArtifactError, DataError

from ..bpe import byte_to_character
from .content import (
    added_token,
    bpe_model,
    byte_level_steps,
    read_json_content,
    special_tokens_processor,
    tokenizer_content,
)
from .pieces import merges_from_scores
from .tokenizer import ImportedTokenizer

DEFAULT_SPECIALS = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]",
)  # fmt: skip
"""Names of special tokens for files without them (mistral-common)."""


def open_tekken(path: Path, settings: Mapping[str, Any] | None = None) -> ImportedTokenizer:
    """Open a tekken.json; ArtifactError if it is invalid."""
    try:
        return _tokenizer_from_tekken(read_json_content(path), settings)
    except (ValueError, LookupError, TypeError, AttributeError, DataError) as error:
        raise ArtifactError(
            f"{path} is no tekken.json ({type(error).__name__}: {str(error)[:200]})."
        ) from None


def _tokenizer_from_tekken(
    tekken: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> ImportedTokenizer:
    """The tokenizer of a tekken.json's value."""
    config, shown = tekken["config"], byte_to_character()
    first, size = int(config["default_num_special_tokens"]), int(config["default_vocab_size"])
    names = dict(enumerate(DEFAULT_SPECIALS)) | {
        int(token["rank"]): token["token_str"] for token in tekken.get("special_tokens") or []
    }
    specials = [names.get(id, f"<SPECIAL_{id}>") for id in range(first)]
    ids: dict[str, int] = {}
    for row in islice(tekken["vocab"], size - first):
        token = base64.b64decode(row["token_bytes"], validate=True)
        ids["".join(shown[byte] for byte in token)] = first + int(row["rank"])
    merges = merges_from_scores({token: -id for token, id in ids.items()})
    marks = [added_token(id, name, True) for id, name in enumerate(specials)]
    vocab = ids | {name: id for id, name in enumerate(specials)}
    steps = byte_level_steps([config["pattern"]]) | {
        "post_processor": special_tokens_processor([("<s>", 1)], [])
    }
    made = tokenizer_content(bpe_model(vocab, merges, ignore_merges=True), marks, steps)
    roles = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return ImportedTokenizer(made, roles | dict(settings or {}))
