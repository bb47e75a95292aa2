"""Export a model as a GGUF file for llama.cpp, and the verb that does so.

As in llama.cpp's own converter, norms, biases, routers and position embeddings stay in float32, and
rows that are not complete blocks are written as float16. With Q4_0 the output embedding is Q8_0,
since it affects every logit.

llama.cpp knows pre-tokenizers by name, so a tokenizer.json is written only if its expressions are
one of those. Normalisation is omitted, as llama.cpp has none. Tokenizers are read from GGUF in
groundup.tokenizer.
Source: ggml-org/ggml, docs/gguf.md; ggml-org/llama.cpp, src/llama-vocab.cpp.
"""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import Artifact, ConfigError, record
from groundup.tokenizer import (
    PATTERNS,
    FastTokenizer,
    ImportedTokenizer,
    load_tokenizer,
    required_vocab_size,
    tokenizer_of_gguf,
)

from ...transformer import Transformer
from ..directory import GENERATION, is_quantized, load, read_json_object
from ..licence import UNKNOWN
from .blocks import BlockType, block_types
from .configuration import EMBEDDING, HEAD, describe_for_gguf
from .format import TensorToWrite, Value, write_gguf_file
from .layouts import to_gguf_state_dict

StoredAs = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0"]
FILE_TYPES: dict[StoredAs, int] = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}
"""The general.file_type of a file by its main type."""
FLOAT32_TENSORS = ("ffn_gate_inp.weight", "position_embd.weight", "token_types.weight", ".bias")
QUANTISER_VERSION = 2
SOURCE = "source.json"
"""In an imported model: the source files and their licence."""
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
TEMPLATE, TOKENIZER = "chat_template.jinja", "tokenizer.json"
PRE_TOKENIZERS = ("qwen2", "gpt-2", "llama-bpe", "tekken", "gpt-4o", "deepseek-v3", "starcoder")
"""llama.cpp's names of the pre-tokenizers that are recognised."""


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
    general: dict[str, Value] = {"general.name": model.path.resolve().name}
    source = read_json_object(model.path / SOURCE) if (model.path / SOURCE).is_file() else {}
    if (licence := source.get("licence", {}).get("name", UNKNOWN)) != UNKNOWN:
        general["general.license"] = licence
    return save_gguf(network, gguf, type, general | tokenizer)


def save_gguf(
    model: Transformer, path: Path, type: StoredAs, metadata: dict[str, Value] | None = None
) -> GgufExport:
    """Write a model's weights and configuration, with additional `metadata`.

    Raises ConfigError and DataError as `export_gguf` does.
    """
    if is_quantized(model):
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
        content, cut, begins = read_json_object(directory / TOKENIZER), tokenizer.pattern, False
    elif isinstance(tokenizer, ImportedTokenizer):
        content, cut = tokenizer.content, _pre_tokenizer_name(tokenizer.content, directory)
        begins = len(tokenizer.frame.before) == 1
    else:
        raise ConfigError(f"The tokenizer of {directory} is not byte-level BPE; export needs one.")
    fields = {"model": "gpt2", "pre": cut, **_token_fields(content, vocab_size)}
    fields |= {"add_bos_token": begins, "add_space_prefix": False, **_special_token_ids(directory)}
    metadata: dict[str, Value] = {f"tokenizer.ggml.{key}": value for key, value in fields.items()}
    if template := _read_chat_template(directory, tokenizer):
        metadata["tokenizer.chat_template"] = template
    return metadata


def _token_fields(content: Mapping[str, Any], vocab_size: int) -> dict[str, Value]:
    """Text and type of every id, and the merges, of a parsed tokenizer.json."""
    texts = [f"[PAD{id}]" for id in range(vocab_size)]
    kinds = np.full(vocab_size, UNUSED, np.int32)
    for text, id in content["model"]["vocab"].items():
        texts[id], kinds[id] = text, NORMAL
    for token in content["added_tokens"]:
        if token["id"] >= vocab_size:
            continue  # an unused special token beyond the model's embedding
        texts[token["id"]] = token["content"]
        kinds[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    merges = content["model"]["merges"]
    pairs: list[Any] = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    return {"tokens": texts, "token_type": kinds, "merges": pairs}


def _pre_tokenizer_name(content: Mapping[str, Any], directory: Path) -> str:
    steps = list(_flatten_steps(content["pre_tokenizer"]))
    is_level = any(step["type"] == "ByteLevel" for step in steps)
    if content["model"].get("type") != "BPE" or not is_level:
        raise ConfigError(f"The tokenizer of {directory} is not byte-level BPE; export needs one.")
    patterns = _pattern_list(content["pre_tokenizer"])
    for name in PRE_TOKENIZERS:
        if patterns in (_known_patterns(name), [PATTERNS.get(name)]):
            return name
    what = f"The tokenizer of {directory} splits text by {str(patterns)[:80]}"
    raise ConfigError(f"{what}; expected the pre-tokenizer of {', '.join(PRE_TOKENIZERS)}.")


def _flatten_steps(step: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    if step is not None and step["type"] == "Sequence":
        for inner in step["pretokenizers"]:
            yield from _flatten_steps(inner)
    elif step is not None:
        yield step


def _pattern_list(pre_tokenizer: Mapping[str, Any] | None) -> list[str]:
    """The regular expressions of a pre-tokenizer, in order; ByteLevel's own is GPT-2's."""
    patterns = []
    for step in _flatten_steps(pre_tokenizer):
        if step["type"] == "ByteLevel" and step.get("use_regex", True):
            patterns += _known_patterns("gpt-2")
        elif step["type"] == "Digits":
            patterns.append(r"\p{N}")
        elif step["type"] != "ByteLevel":
            patterns.append(str(step.get("pattern", {}).get("Regex", step)))
    return patterns


@cache
def _known_patterns(name: str) -> list[str]:
    fields = {"model": "gpt2", "pre": name, "tokens": ["a"], "merges": []}
    tokenizer = tokenizer_of_gguf({f"tokenizer.ggml.{key}": each for key, each in fields.items()})
    return _pattern_list(tokenizer.content["pre_tokenizer"])


def _read_chat_template(directory: Path, tokenizer: FastTokenizer | ImportedTokenizer) -> str:
    path = directory / TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    settings = tokenizer.settings if isinstance(tokenizer, ImportedTokenizer) else {}
    template = settings.get("chat_template")
    return template if isinstance(template, str) else ""


def _special_token_ids(directory: Path) -> dict[str, Value]:
    """The bos, eos and pad ids of generation_config.json.

    Of several eos ids the first: llama.cpp finds the end of a turn by its name.
    """
    path = directory / GENERATION
    values = read_json_object(path) if path.is_file() else {}
    fields: dict[str, Value] = {}
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        value = values.get(f"{name}_token_id")
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, int):
            fields[f"{key}_token_id"] = value
    return fields
