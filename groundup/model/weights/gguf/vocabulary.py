"""A byte-level tokenizer in the words of tokenizer.ggml, as llama.cpp replays it.

llama.cpp cuts text by expressions that it knows by name; ours have its names, and a tokenizer.json
of others is written if its expression is one of them. Normalisation is left out, as llama.cpp has
none. Reading a file's tokenizer is the tokenizer room's.
Source: ggml-org/ggml, docs/gguf.md; ggml-org/llama.cpp, src/llama-vocab.cpp.
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
    ids_needed,
    load_tokenizer,
    tokenizer_of_gguf,
)

from ..directory import GENERATION, read_json
from .format import Value

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
TEMPLATE, TOKENIZER = "chat_template.jinja", "tokenizer.json"
CUTS = ("qwen2", "gpt-2", "llama-bpe", "tekken", "gpt-4o", "deepseek-v3", "starcoder")
"""llama.cpp's names of expressions that are looked for."""


def tokenizer_metadata(directory: Path, vocab_size: int) -> dict[str, Value]:
    """The metadata of a model directory's tokenizer, and of its chat template if it has one.

    vocab_size  rows of the model's embedding; those without a token get a name and are unused

    Raises ConfigError for a tokenizer that is not byte-level, cuts text as llama.cpp does not, or
    has more ids than the model.
    """
    tokenizer = load_tokenizer(directory)
    if ids_needed(tokenizer) > vocab_size:
        raise ConfigError(
            f"The tokenizer of {directory} has {ids_needed(tokenizer)} ids and its model "
            f"{vocab_size}; they do not belong together."
        )
    if isinstance(tokenizer, FastTokenizer):
        content, cut, begins = read_json(directory / TOKENIZER), tokenizer.pattern, False
    elif isinstance(tokenizer, ImportedTokenizer):
        content, cut = tokenizer.content, cut_of(tokenizer.content, directory)
        begins = len(tokenizer.frame.before) == 1
    else:
        raise ConfigError(f"The tokenizer of {directory} is no byte-level BPE, as GGUF needs it.")
    told = {"model": "gpt2", "pre": cut, **tokens_of(content, vocab_size)}
    told |= {"add_bos_token": begins, "add_space_prefix": False, **ends(directory)}
    metadata: dict[str, Value] = {f"tokenizer.ggml.{key}": value for key, value in told.items()}
    if template := template_of(directory, tokenizer):
        metadata["tokenizer.chat_template"] = template
    return metadata


def tokens_of(content: Mapping[str, Any], vocab_size: int) -> dict[str, Value]:
    """Text and kind of every id, and the merges, of the value of a tokenizer.json."""
    texts = [f"[PAD{id}]" for id in range(vocab_size)]
    kinds = np.full(vocab_size, UNUSED, np.int32)
    for text, id in content["model"]["vocab"].items():
        texts[id], kinds[id] = text, NORMAL
    for token in content["added_tokens"]:
        if token["id"] >= vocab_size:
            continue  # a special token that the model has no row for, and nothing puts in
        texts[token["id"]] = token["content"]
        kinds[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    merges = content["model"]["merges"]
    pairs: list[Any] = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    return {"tokens": texts, "token_type": kinds, "merges": pairs}


def cut_of(content: Mapping[str, Any], directory: Path) -> str:
    """llama.cpp's name of how the value of a tokenizer.json cuts text.

    Raises ConfigError if it is not byte-level BPE or cuts as none of those known.
    """
    steps = list(steps_of(content["pre_tokenizer"]))
    is_level = any(step["type"] == "ByteLevel" for step in steps)
    if content["model"].get("type") != "BPE" or not is_level:
        raise ConfigError(
            f"The tokenizer of {directory} is no byte-level BPE; GGUF is written with such alone."
        )
    found = expressions(content["pre_tokenizer"])
    for name in CUTS:
        if found in (known_expressions(name), [PATTERNS.get(name)]):
            return name
    raise ConfigError(
        f"The tokenizer of {directory} cuts text by {str(found)[:80]}; llama.cpp is known to cut "
        f"as {', '.join(CUTS)}."
    )


def steps_of(step: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """The steps of a pre-tokenizer, those inside sequences one by one."""
    if step is not None and step["type"] == "Sequence":
        for inner in step["pretokenizers"]:
            yield from steps_of(inner)
    elif step is not None:
        yield step


def expressions(pre_tokenizer: Mapping[str, Any] | None) -> list[str]:
    """What a pre-tokenizer cuts by, in order; a byte level's own expression is GPT-2's."""
    found = []
    for step in steps_of(pre_tokenizer):
        if step["type"] == "ByteLevel" and step.get("use_regex", True):
            found += known_expressions("gpt-2")
        elif step["type"] == "Digits":
            found.append(r"\p{N}")
        elif step["type"] != "ByteLevel":
            found.append(str(step.get("pattern", {}).get("Regex", step)))
    return found


@cache
def known_expressions(name: str) -> list[str]:
    """What llama.cpp cuts by under a name."""
    told = {"model": "gpt2", "pre": name, "tokens": ["a"], "merges": []}
    tokenizer = tokenizer_of_gguf({f"tokenizer.ggml.{key}": each for key, each in told.items()})
    return expressions(tokenizer.content["pre_tokenizer"])


def template_of(directory: Path, tokenizer: FastTokenizer | ImportedTokenizer) -> str:
    """The chat template of a model directory; empty if there is none."""
    path = directory / TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    settings = tokenizer.settings if isinstance(tokenizer, ImportedTokenizer) else {}
    told = settings.get("chat_template")
    return told if isinstance(told, str) else ""


def ends(directory: Path) -> dict[str, Value]:
    """The ids that begin, end and pad a text, where generation_config.json says them.

    Of several that end one, the first: llama.cpp finds a turn's end by its name.
    """
    path = directory / GENERATION
    told = read_json(path) if path.is_file() else {}
    found: dict[str, Value] = {}
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        value = told.get(f"{name}_token_id")
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, int):
            found[f"{key}_token_id"] = value
    return found
