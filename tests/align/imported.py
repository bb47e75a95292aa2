"""Tiny models of others with real tokenizers, imported as people import them."""

import json
from pathlib import Path

import torch

from groundup.core import Artifact
from groundup.model import ImportConfig, Transformer, import_model, save
from groundup.tokenizer import ImportedTokenizer, save_imported
from tests.model.shapes import heads, shape
from tests.tokenizer.imported.fixtures import small

INST = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""As Llama 2's: no generation prompt, a space before each answer."""
TURNS = (
    "{{ bos_token }}{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}<stop>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)
"""As Gemma's: a turn's end of its own, which the source's generation_config does not name."""


def pieces(**settings: str) -> ImportedTokenizer:
    """SentencePiece with scores, as Llama 2 has it: <s> before each text, </s> ends one."""
    found = small("llama")
    told = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True} | settings
    return ImportedTokenizer(found.content, told, found.extra)


def bytes_with_turns(**settings: str) -> ImportedTokenizer:
    """GPT-2's kind with two special tokens for turns."""
    found = small("pairs")
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    first = found.vocab_size
    more = [
        {"id": first + place, "content": name, "special": True, **flags}
        for place, name in enumerate(("<turn>", "<stop>"))
    ]
    content = found.content | {"added_tokens": [*found.content["added_tokens"], *more]}
    return ImportedTokenizer(content, found.settings | settings)


def directory_of(place: Path, tokenizer: ImportedTokenizer, *, ends: object = None) -> Path:
    """A directory of Transformers: a random LLaMA of two layers with this tokenizer."""
    config = shape(
        vocab_size=tokenizer.vocab_size, width=32, layers=2, context_length=256,
        attention=heads(head_dim=8, kv_heads=2),
    )  # fmt: skip
    save(Transformer(config, seed=0).to(torch.float32), place)
    save_imported(tokenizer, place)
    if ends is not None:
        (place / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return place


def imported_of(place: Path, tokenizer: ImportedTokenizer, *, ends: object = None) -> Artifact:
    """The same, imported."""
    source = directory_of(place / "source", tokenizer, ends=ends)
    return import_model(ImportConfig(), source, place / "imported")
