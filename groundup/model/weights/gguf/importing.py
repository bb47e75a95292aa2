"""Convert a GGUF file to a Hugging Face directory: weights, tokenizer, template, special ids.

The tokenizer becomes a tokenizer.json, with pieces.json for what that cannot express.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup.core import DataError, write_json

from ...transformer import Transformer
from ..directory import CONFIG, GENERATION, read_json_object, save
from .format import GgufFile
from .reading import load_gguf

TOKENIZER_KEY = "tokenizer.ggml.model"
SPECIAL_ID_KEYS = {
    "bos_token_id": ("bos",), "eos_token_id": ("eos", "eot", "eom"), "pad_token_id": ("padding",),
}  # fmt: skip
"""Special ids by their keys in generation_config.json and in GGUF."""


class UnpackedGguf(NamedTuple):
    """A file's model, name and licence."""

    model: Transformer
    name: str
    licence: str
    """Empty if the file does not name one."""


def load_unpacked(file: GgufFile, dtype: torch.dtype) -> UnpackedGguf:
    """Open a file's model; the weights are converted to `dtype`.

    Raises ArtifactError as `load_gguf` does.
    """
    general = (str(file.metadata.get(f"general.{key}", "")) for key in ("name", "license"))
    return UnpackedGguf(load_gguf(file, dtype), *general)


def write_unpacked(file: GgufFile, model: Transformer, path: Path) -> None:
    """Write a file's model with its tokenizer and special ids.

    Raises DataError for a tokenizer that cannot be reproduced.
    """
    save(model, path)
    special_ids = _special_token_ids(file)
    for name in (CONFIG, GENERATION):
        write_json(path / name, read_json_object(path / name) | special_ids)
    if TOKENIZER_KEY in file.metadata:
        _write_gguf_tokenizer(file, path)


def _special_token_ids(file: GgufFile) -> dict[str, Any]:
    """The bos, eos and pad ids: a list if several, null if none."""
    special_ids: dict[str, Any] = {}
    for key, names in SPECIAL_ID_KEYS.items():
        values = [file.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in names]
        ids = list(dict.fromkeys(id for id in values if isinstance(id, int)))
        special_ids[key] = ids if len(ids) > 1 else next(iter(ids), None)
    return special_ids


def _write_gguf_tokenizer(file: GgufFile, path: Path) -> None:
    """Write a file's tokenizer, such that `load_tokenizer` gives the same ids.

    Raises DataError if it is damaged or unsupported.
    """
    from groundup.tokenizer import save_imported, tokenizer_of_gguf

    try:
        save_imported(tokenizer_of_gguf(file.metadata), path)
    except DataError as error:
        raise DataError(f"{file.path}: {error}") from None
