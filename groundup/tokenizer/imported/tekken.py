"""Mistral's tekken.json: byte sequences with ranks, merged like in tiktoken.

Ranks serve as scores, so pieces.py computes the merges. Special tokens have the first ids.
"""

import base64
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from groundup.core import ArtifactError, DataError

from ..bpe import byte_characters
from .content import added, bpe, byte_level, content, framed, read_object
from .pieces import merges_of
from .tokenizer import ImportedTokenizer

SPECIAL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]",
)  # fmt: skip
"""Names of special tokens for files without them (mistral-common)."""


def open_tekken(path: Path, settings: Mapping[str, Any] | None = None) -> ImportedTokenizer:
    """Open a tekken.json; ArtifactError if it is invalid."""
    try:
        return of_tekken(read_object(path), settings)
    except (ValueError, LookupError, TypeError, AttributeError, DataError) as error:
        raise ArtifactError(
            f"{path} is no tekken.json ({type(error).__name__}: {str(error)[:200]})."
        ) from None


def of_tekken(
    found: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> ImportedTokenizer:
    """The tokenizer of a tekken.json's value."""
    config, shown = found["config"], byte_characters()
    first, size = int(config["default_num_special_tokens"]), int(config["default_vocab_size"])
    names = dict(enumerate(SPECIAL)) | {
        int(token["rank"]): token["token_str"] for token in found.get("special_tokens") or []
    }
    specials = [names.get(id, f"<SPECIAL_{id}>") for id in range(first)]
    ids: dict[str, int] = {}
    for row in islice(found["vocab"], size - first):
        token = base64.b64decode(row["token_bytes"], validate=True)
        ids["".join(shown[byte] for byte in token)] = first + int(row["rank"])
    merges = merges_of({token: -id for token, id in ids.items()})
    marks = [added(id, name, True) for id, name in enumerate(specials)]
    vocab = ids | {name: id for id, name in enumerate(specials)}
    steps = byte_level([config["pattern"]]) | {"post_processor": framed([("<s>", 1)], [])}
    made = content(bpe(vocab, merges, ignore_merges=True), marks, steps)
    roles = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return ImportedTokenizer(made, roles | dict(settings or {}))
