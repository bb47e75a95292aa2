"""Export a model as a GGUF file for llama.cpp, and the verb that does so.

As in llama.cpp's own converter, norms, biases, routers and position embeddings stay in float32, and
rows that are not complete blocks are written as float16. With Q4_0 the output embedding is Q8_0,
since it affects every logit.

The tokenizer's metadata are groundup.tokenizer's, both ways.
Source: ggml-org/ggml, docs/gguf.md.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import Artifact, ConfigError, record
from groundup.tokenizer import (
    FastTokenizer,
    ImportedTokenizer,
    gguf_of_tokenizer,
    load_tokenizer,
    required_vocab_size,
)

from ...transformer import Transformer
from ..directory import CONFIG, GENERATION, START_ID_KEY, is_quantized, load, read_json_object
from ..licence import UNKNOWN
from .architectures import START
from .blocks import BlockType, block_types
from .configuration import EMBEDDING, HEAD, describe_for_gguf
from .format import TensorToWrite, Value, write_gguf_file
from .layouts import to_gguf_state_dict

StoredAs = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0"]
FILE_TYPES: dict[StoredAs, int] = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}
"""The general.file_type of a file by its main type."""
FLOAT32_TENSORS = ("ffn_gate_inp.weight", "position_embd.weight", "token_types.weight", ".bias",
                   "attn_rel_b.weight")  # fmt: skip
QUANTISER_VERSION = 2
SOURCE = "source.json"
"""In an imported model: the source files and their licence."""
TEMPLATE, TOKENIZER = "chat_template.jinja", "tokenizer.json"


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
        what = f"{self.path}  {self.architecture}, {self.type}, {self.tensors} tensors"
        return f"{what}, {record.format_bytes(self.bytes)}"


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
    tokenizer = _tokenizer_metadata(model.path, network.config.vocab_size)
    scaling = network.config.position.scaling
    if scaling.kind == "yarn" and not scaling.truncate:
        record.log("llama.cpp rounds the bounds of YaRN's ramp, and this model does not: it will "
                   "rotate features a little otherwise.")  # fmt: skip
    # In files that are named so llama.cpp asks the vocabulary for "</s>", and ends without it.
    name = re.sub(r"phi-?3", "phi 3", model.path.resolve().name, flags=re.IGNORECASE)
    general: dict[str, Value] = {"general.name": name}
    source = read_json_object(model.path / SOURCE) if (model.path / SOURCE).is_file() else {}
    if (licence := source.get("licence", {}).get("name", UNKNOWN)) != UNKNOWN:
        general["general.license"] = licence
    if (start := _generation_values(model.path).get(START_ID_KEY)) is not None:
        general[f"t5.{START}"] = start
    family = read_json_object(model.path / CONFIG).get("model_type", "")
    return save_gguf(network, gguf, type, general | tokenizer, family)


def save_gguf(
    model: Transformer, path: Path, type: StoredAs, metadata: dict[str, Value] | None = None,
    family: str = "",
) -> GgufExport:  # fmt: skip
    """Write a model's weights and configuration, with additional `metadata`.

    family  of the model's files, of which errors speak

    Raises ConfigError and DataError as `export_gguf` does.
    """
    if is_quantized(model):
        raise ConfigError(
            "The model has int8 weights; export the model that it was quantized from, with --type."
        )
    state = model.state_dict()
    sketch = {name: weight.to("meta") for name, weight in state.items()}
    description = describe_for_gguf(model.config, sketch, family)
    named = to_gguf_state_dict(state, model.config, description.architecture)
    output = HEAD if HEAD in named else EMBEDDING
    tensors = [
        TensorToWrite(name, _choose_type(name, weight, type, name == output), tuple(weight.shape),
                partial(_to_numpy, weight))
        for name, weight in named.items()
    ]  # fmt: skip
    float32 = block_types()["F32"]
    for name, each in description.factors.items():
        tensors.append(TensorToWrite(name, float32, each.shape, partial(np.asarray, each)))
    general: dict[str, Value] = {
        "general.type": "model",
        "general.file_type": FILE_TYPES[type],
        "general.quantization_version": QUANTISER_VERSION,
    }
    if description.architecture == "bert":  # llama.cpp needs the number, even of none
        general["tokenizer.ggml.token_type_count"] = max(1, model.config.embedding.types)
    write_gguf_file(path, description.metadata | general | (metadata or {}), tensors)
    return GgufExport(path, description.architecture, type, len(tensors), path.stat().st_size)


def _choose_type(name: str, weight: Tensor, type: StoredAs, is_output: bool) -> BlockType:
    if weight.ndim == 1 or name.endswith(FLOAT32_TENSORS):
        return block_types()["F32"]
    stored = block_types()["Q8_0" if type == "Q4_0" and is_output else type]
    return block_types()["F16"] if weight.shape[-1] % stored.values else stored


def _to_numpy(weight: Tensor) -> Float[np.ndarray, "*shape"]:
    return weight.detach().to("cpu", torch.float32).contiguous().numpy()


def _tokenizer_metadata(directory: Path, vocab_size: int) -> dict[str, Value]:
    """The metadata of a model directory's tokenizer and chat template.

    Ids of the model's embedding without a token are marked as unused.
    """
    tokenizer = load_tokenizer(directory)
    if required_vocab_size(tokenizer) > vocab_size:
        what = f"The tokenizer of {directory} has {required_vocab_size(tokenizer)} ids and its"
        raise ConfigError(f"{what} model {vocab_size}; they do not belong together.")
    if isinstance(tokenizer, FastTokenizer):
        tokenizer = ImportedTokenizer(read_json_object(directory / TOKENIZER))
    try:
        roles, name = _special_token_ids(directory), directory.resolve().name
        metadata: dict[str, Value] = gguf_of_tokenizer(tokenizer, vocab_size, name, roles)
    except ConfigError as error:
        raise ConfigError(f"{directory} cannot be written for llama.cpp: {error}") from None
    path = directory / TEMPLATE
    template = tokenizer.settings.get("chat_template")
    if path.is_file():
        template = path.read_text(encoding="utf-8")
    if template and isinstance(template, str):
        metadata["tokenizer.chat_template"] = template
    return metadata


def _special_token_ids(directory: Path) -> dict[str, int]:
    """The bos, eos and pad ids of generation_config.json.

    Of several eos ids the first: llama.cpp finds the end of a turn by its name.
    """
    values = _generation_values(directory)
    ids: dict[str, int] = {}
    for role in ("bos", "eos", "pad"):
        value = values.get(f"{role}_token_id")
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, int):
            ids[role] = value
    return ids


def _generation_values(directory: Path) -> dict[str, Any]:
    path = directory / GENERATION
    return read_json_object(path) if path.is_file() else {}
