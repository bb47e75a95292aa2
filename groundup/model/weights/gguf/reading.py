"""Load a GGUF file as a Transformer: its configuration, and its weights dequantized."""

from pathlib import Path

import torch
from torch import Tensor

from groundup.core import ArtifactError

from ...config import ModelConfig
from ...describe.costs import count_parameters
from ...transformer import Transformer
from ..directory import load_model_state
from .configuration import ARCHITECTURE, config_from_metadata
from .format import GgufFile, open_gguf
from .names import ROPE_FACTORS, from_gguf_state_dict


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
    for name in file.tensors.keys() - {ROPE_FACTORS}:
        tensor = torch.from_numpy(file.values(name))
        converted = from_gguf_state_dict({name: tensor}, config, str(file.metadata[ARCHITECTURE]))
        state |= {name: part.to(dtype) for name, part in converted.items()}
    load_model_state(model, state, file.path)
    return model.eval()


def read_gguf_config(file: GgufFile) -> ModelConfig:
    """The configuration of a file's model.

    Raises ArtifactError as `config_from_metadata` does, and if the file has fewer values than the
    model.
    """
    factors = file.values(ROPE_FACTORS) if ROPE_FACTORS in file.tensors else None
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    config = config_from_metadata(file.metadata, shapes, factors, str(file.path))
    needed = count_parameters(config).total
    stored = sum(tensor.values for tensor in file.tensors.values())
    if stored < needed:  # checked before memory is allocated
        raise ArtifactError(
            f"{file.path} has {stored:,} values, but its metadata describe a model of {needed:,}."
        )
    return config
