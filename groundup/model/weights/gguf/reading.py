"""A GGUF file as a model of ours: its configuration, and its weights made whole numbers again."""

from pathlib import Path

import torch
from torch import Tensor

from groundup.core import ArtifactError

from ...config import ModelConfig
from ...describe.costs import parameters
from ...transformer import Transformer
from ..directory import fill
from .configuration import ARCHITECTURE, config_of
from .format import GgufFile, open_gguf
from .names import ROPE_FACTORS, ours


def load_gguf(path: Path | str | GgufFile, dtype: torch.dtype = torch.float32) -> Transformer:
    """Open the model of a GGUF file, ready for inference.

    path   of the file, or the file opened already
    dtype  of the weights in memory, whatever they are stored as

    Raises ArtifactError for a file that is damaged, an architecture that we do not compute, and
    tensors that are missing, unexpected or misshapen.
    """
    file = path if isinstance(path, GgufFile) else open_gguf(path)
    config = model_config(file)
    model = Transformer(config, seed=None).to(dtype)
    state: dict[str, Tensor] = {}
    for name in file.tensors.keys() - {ROPE_FACTORS}:
        tensor = torch.from_numpy(file.values(name))
        found = ours({name: tensor}, config, str(file.metadata[ARCHITECTURE]))
        state |= {name: part.to(dtype) for name, part in found.items()}
    fill(model, state, file.path)
    return model.eval()


def model_config(file: GgufFile) -> ModelConfig:
    """What a file's model computes.

    Raises ArtifactError as `config_of` does, and if the file has fewer numbers than such a model.
    """
    factors = file.values(ROPE_FACTORS) if ROPE_FACTORS in file.tensors else None
    shapes = {name: one.shape for name, one in file.tensors.items()}
    config = config_of(file.metadata, shapes, factors, str(file.path))
    wanted, found = parameters(config).total, sum(one.values for one in file.tensors.values())
    if found < wanted:  # before room is made for them
        raise ArtifactError(
            f"{file.path} has {found:,} numbers, and its metadata describe a model of {wanted:,}."
        )
    return config
