"""A GGUF file as a directory of Transformers: weights whole, tokenizer, template, ends of texts.

The tokenizer becomes a tokenizer.json, with pieces.json beside it for what that cannot say.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup.core import DataError, write_json

from ...transformer import Transformer
from ..directory import CONFIG, GENERATION, read_json, save
from .format import GgufFile
from .reading import load_gguf

KIND = "tokenizer.ggml.model"
ENDS = {
    "bos_token_id": ("bos",), "eos_token_id": ("eos", "eot", "eom"), "pad_token_id": ("padding",),
}  # fmt: skip
"""What begins, ends and pads a text, in generation_config.json's words and GGUF's."""


class Unpacked(NamedTuple):
    """A model as a file has it, and what the file says of itself."""

    model: Transformer
    name: str
    licence: str
    """Empty if the file does not name one."""


def open_all(file: GgufFile, dtype: torch.dtype) -> Unpacked:
    """Open a file's model; the weights become `dtype`, whatever they are stored as.

    Raises ArtifactError as `load_gguf` does.
    """
    told = (str(file.metadata.get(f"general.{key}", "")) for key in ("name", "license"))
    return Unpacked(load_gguf(file, dtype), *told)


def write_unpacked(file: GgufFile, model: Transformer, path: Path) -> None:
    """Write a file's model with its tokenizer and the ends of its texts.

    Raises DataError for a tokenizer whose ids we could not give.
    """
    save(model, path)
    ends = ends_of(file)
    for name in (CONFIG, GENERATION):
        write_json(path / name, read_json(path / name) | ends)
    if KIND in file.metadata:
        write_tokenizer(file, path)


def ends_of(file: GgufFile) -> dict[str, Any]:
    """The ids that begin, end and pad a text; of several a list, of none null."""
    found: dict[str, Any] = {}
    for key, names in ENDS.items():
        told = [file.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in names]
        ids = list(dict.fromkeys(id for id in told if isinstance(id, int)))
        found[key] = ids if len(ids) > 1 else next(iter(ids), None)
    return found


def write_tokenizer(file: GgufFile, path: Path) -> None:
    """Write a file's tokenizer; `load_tokenizer` gives its ids exactly.

    Raises DataError if it is damaged or of a kind that is not known.
    """
    from groundup.tokenizer import save_imported, tokenizer_of_gguf

    try:
        save_imported(tokenizer_of_gguf(file.metadata), path)
    except DataError as error:
        raise DataError(f"{file.path}: {error}") from None
