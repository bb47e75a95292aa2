"""Open a GGUF file as a Transformer, or convert it to a Hugging Face directory.

The tokenizer becomes a tokenizer.json, with pieces.json for what that cannot express.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.core import ArtifactError, DataError, write_json

from ...configuration.config import ModelConfig
from ...describe.costs import count_parameters
from ...transformer import Transformer
from ..directory import CONFIG, GENERATION, START_ID_KEY, load_model_state, read_json_object, save
from .architectures import START
from .configuration import ARCHITECTURE, config_from_metadata
from .format import GgufFile, open_gguf
from .layouts import TOGETHER, from_gguf_state_dict
from .scaling import FREQUENCIES, LONG, SHORT

TOKENIZER_KEY = "tokenizer.ggml.model"
SPECIAL_ID_KEYS = {
    "bos_token_id": ("bos",), "eos_token_id": ("eos", "eot", "eom"), "pad_token_id": ("padding",),
}  # fmt: skip
"""Special ids by their keys in generation_config.json and in GGUF."""
FACTORS = {FREQUENCIES, SHORT, LONG}


def load_gguf(path: Path | str | GgufFile, dtype: torch.dtype = torch.float32) -> Transformer:
    """Open the model of a GGUF file, ready for inference.

    path   of the file, or the opened file
    dtype  of the weights in memory

    Raises ArtifactError for a damaged file, an unsupported architecture, and missing, unexpected
    or misshapen tensors.
    """
    file = path if isinstance(path, GgufFile) else open_gguf(path)
    config = read_gguf_config(file)
    model = Transformer(config, seed=None).to(dtype)
    state: dict[str, Tensor] = {}
    names, architecture = file.tensors.keys() - FACTORS, str(file.metadata[ARCHITECTURE])
    second = {name.replace(a, b): name for a, b in TOGETHER.items() for name in names if a in name}
    for name in names - second.keys():
        group = [name, *(each for each, first in second.items() if first == name)]
        tensors = {each: torch.from_numpy(file.values(each)) for each in group}
        converted = from_gguf_state_dict(tensors, config, architecture)
        state |= {name: part.to(dtype) for name, part in converted.items()}
    load_model_state(model, state, file.path)
    return model.eval()


def read_gguf_config(file: GgufFile) -> ModelConfig:
    """The configuration of a file's model.

    Raises ArtifactError as `config_from_metadata` does, and if the file has fewer values than the
    model.
    """
    factors = {name: file.values(name) for name in FACTORS & file.tensors.keys()}
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    config = config_from_metadata(file.metadata, shapes, factors, str(file.path))
    needed = count_parameters(config).total
    stored = sum(tensor.values for tensor in file.tensors.values())
    if stored < needed:  # checked before memory is allocated
        raise ArtifactError(
            f"{file.path} has {stored:,} values, but its metadata describe a model of {needed:,}."
        )
    return config


def write_unpacked(file: GgufFile, model: Transformer, path: Path) -> None:
    """Write a file's model with its special ids and tokenizer, if it has one.

    Raises DataError for a tokenizer that cannot be reproduced.
    """
    save(model, path)
    special_ids = _special_token_ids(file)
    for name in (CONFIG, GENERATION):
        write_json(path / name, read_json_object(path / name) | special_ids)
    if TOKENIZER_KEY in file.metadata:
        from groundup.tokenizer import save_imported, tokenizer_of_gguf

        try:
            save_imported(tokenizer_of_gguf(file.metadata), path)
        except DataError as error:
            raise DataError(f"{file.path}: {error}") from None


def _special_token_ids(file: GgufFile) -> dict[str, Any]:
    special_ids: dict[str, Any] = {}
    for key, names in SPECIAL_ID_KEYS.items():
        values = [file.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in names]
        ids = list(dict.fromkeys(id for id in values if isinstance(id, int)))
        special_ids[key] = ids if len(ids) > 1 else next(iter(ids), None)
    if (start := file.metadata.get(f"{file.metadata[ARCHITECTURE]}.{START}")) is not None:
        special_ids[START_ID_KEY] = start
    return special_ids
