"""Export a model as a GGUF file for llama.cpp, and the verb that does so.

As in llama.cpp's own converter, norms, biases, routers and position embeddings stay in float32, and
rows that are not complete blocks are written as float16. With Q4_0 the output embedding is Q8_0,
since it affects every logit.
"""

from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import Artifact, ConfigError, record

from ...transformer import Transformer
from ..directory import has_int8, load, read_json_object
from ..licence import UNKNOWN
from .block import BlockType
from .configuration import EMBEDDING, HEAD, describe_for_gguf
from .dequantize import BY_NAME
from .format import Value
from .names import ROPE_FACTORS, to_gguf_state_dict
from .vocabulary import tokenizer_metadata
from .writing import TensorToWrite, write_gguf_file

StoredAs = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0"]
FILE_TYPES: dict[StoredAs, int] = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}
"""The general.file_type of a file by its main type."""
FLOAT32_TENSORS = ("ffn_gate_inp.weight", "position_embd.weight", "token_types.weight")
QUANTISER_VERSION = 2
SOURCE = "source.json"
"""In an imported model: the source files and their licence."""


class GgufExport(NamedTuple):
    """The result of an export."""

    path: Path
    architecture: str
    """llama.cpp's name."""
    type: str
    """Of most weights."""
    tensors: int
    bytes: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.path}  {self.architecture}, {self.type}, {self.tensors} tensors, "
            f"{record.format_bytes(self.bytes)}"
        )


def export_gguf(model: Artifact, gguf: Path, type: StoredAs = "Q8_0") -> GgufExport:
    """Write a model as one GGUF file for llama.cpp, with its tokenizer and chat template.

    gguf  the file; an existing one is replaced atomically
    type  how weights are stored: F32, F16, BF16, Q8_0 (8.5 bits per weight) or Q4_0 (4.5 bits)

    Raises ConfigError for a model that llama.cpp has no architecture for, or one with int8
    weights; DataError for weights that a type cannot represent.
    """
    if gguf.is_dir():
        raise ConfigError(f"{gguf} is a folder; name a file in it, such as {gguf / 'model.gguf'}.")
    gguf.parent.mkdir(parents=True, exist_ok=True)
    network = load(model.path)
    tokenizer = tokenizer_metadata(model.path, network.config.vocab_size)
    general: dict[str, Value] = {"general.name": model.path.resolve().name}
    return save_gguf(network, gguf, type, general | _licence_metadata(model.path) | tokenizer)


def _licence_metadata(directory: Path) -> dict[str, Value]:
    """The metadata of an imported model's licence."""
    source = read_json_object(directory / SOURCE) if (directory / SOURCE).is_file() else {}
    name = source.get("licence", {}).get("name", UNKNOWN)
    return {} if name == UNKNOWN else {"general.license": name}


def save_gguf(
    model: Transformer, path: Path, type: StoredAs, metadata: dict[str, Value] | None = None
) -> GgufExport:
    """Write a model's weights and configuration, with additional `metadata`.

    Raises ConfigError and DataError as `export_gguf` does.
    """
    if has_int8(model):
        raise ConfigError(
            "The model has int8 weights; export the model that it was quantized from, with --type."
        )
    state = model.state_dict()
    sketch = {name: weight.to("meta") for name, weight in state.items()}
    description = describe_for_gguf(model.config, sketch)
    named = to_gguf_state_dict(state, model.config, description.architecture)
    output = HEAD if HEAD in named else EMBEDDING
    tensors = [
        TensorToWrite(name, _choose_type(name, weight, type, name == output), tuple(weight.shape),
                partial(_to_numpy, weight))
        for name, weight in named.items()
    ]  # fmt: skip
    if description.factors is not None:
        factors = description.factors
        tensors.append(TensorToWrite(ROPE_FACTORS, BY_NAME["F32"], factors.shape, lambda: factors))
    general: dict[str, Value] = {
        "general.type": "model",
        "general.file_type": FILE_TYPES[type],
        "general.quantization_version": QUANTISER_VERSION,
    }
    write_gguf_file(path, description.metadata | general | (metadata or {}), tensors)
    return GgufExport(path, description.architecture, type, len(tensors), path.stat().st_size)


def _choose_type(name: str, weight: Tensor, type: StoredAs, is_output: bool) -> BlockType:
    """The type of a tensor in a file with this main type."""
    if weight.ndim == 1 or name.endswith(FLOAT32_TENSORS):
        return BY_NAME["F32"]
    stored = BY_NAME["Q8_0" if type == "Q4_0" and is_output else type]
    return BY_NAME["F16"] if weight.shape[-1] % stored.values else stored


def _to_numpy(weight: Tensor) -> Float[np.ndarray, "*shape"]:
    """A tensor's values in float32."""
    return weight.detach().to("cpu", torch.float32).contiguous().numpy()
