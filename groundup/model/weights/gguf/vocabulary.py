"""Write a byte-level tokenizer as GGUF's tokenizer.ggml metadata.

llama.cpp knows pre-tokenizers by name, so a tokenizer.json is written only if its expressions are
one of those. Normalisation is omitted, as llama.cpp has none. Tokenizers are read from GGUF in
groundup.tokenizer.
Source: ggml-org/ggml, docs/reference/model/gguf.md; ggml-org/llama.cpp, src/llama-vocab.cpp.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from groundup.core import ConfigError
from groundup.tokenizer import (
    PATTERNS,
    FastTokenizer,
    ImportedTokenizer,
    load_tokenizer,
    required_vocab_size,
    tokenizer_of_gguf,
)

from ..directory import GENERATION, read_json_object
from .format import Value

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
TEMPLATE, TOKENIZER = "chat_template.jinja", "tokenizer.json"
PRE_TOKENIZERS = ("qwen2", "gpt-2", "llama-bpe", "tekken", "gpt-4o", "deepseek-v3", "starcoder")
"""llama.cpp's names of the pre-tokenizers that are recognised."""


def tokenizer_metadata(directory: Path, vocab_size: int) -> dict[str, Value]:
    """The metadata of a model directory's tokenizer and chat template.

    vocab_size  size of the model's embedding; ids without a token are marked as unused

    Raises ConfigError for a tokenizer that is not byte-level BPE, has an unknown pre-tokenizer, or
    has more ids than the model.
    """
    tokenizer = load_tokenizer(directory)
    if required_vocab_size(tokenizer) > vocab_size:
        raise ConfigError(
            f"The tokenizer of {directory} has {required_vocab_size(tokenizer)} ids and its model "
            f"{vocab_size}; they do not belong together."
        )
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
    """llama.cpp's name of the pre-tokenizer of a parsed tokenizer.json.

    Raises ConfigError if it is not byte-level BPE or the pre-tokenizer is unknown.
    """
    steps = list(_flatten_steps(content["pre_tokenizer"]))
    is_level = any(step["type"] == "ByteLevel" for step in steps)
    if content["model"].get("type") != "BPE" or not is_level:
        raise ConfigError(f"The tokenizer of {directory} is not byte-level BPE; export needs one.")
    patterns = _pattern_list(content["pre_tokenizer"])
    for name in PRE_TOKENIZERS:
        if patterns in (_known_patterns(name), [PATTERNS.get(name)]):
            return name
    raise ConfigError(
        f"The tokenizer of {directory} splits text by {str(patterns)[:80]}; expected the "
        f"pre-tokenizer of {', '.join(PRE_TOKENIZERS)}."
    )


def _flatten_steps(step: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """The steps of a pre-tokenizer, with sequences flattened."""
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
    """The regular expressions of a pre-tokenizer of llama.cpp."""
    fields = {"model": "gpt2", "pre": name, "tokens": ["a"], "merges": []}
    tokenizer = tokenizer_of_gguf({f"tokenizer.ggml.{key}": each for key, each in fields.items()})
    return _pattern_list(tokenizer.content["pre_tokenizer"])


def _read_chat_template(directory: Path, tokenizer: FastTokenizer | ImportedTokenizer) -> str:
    """The chat template of a model directory; empty if there is none."""
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
