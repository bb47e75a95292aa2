"""Our tokenizer in the words of tokenizer.ggml: byte-level BPE as llama.cpp replays it.

llama.cpp knows our splitting patterns by the names that they have here. Reading a file's tokenizer
is the tokenizer room's.
Source: ggml-org/ggml, docs/gguf.md; ggml-org/llama.cpp, src/llama-vocab.cpp.
"""

from pathlib import Path

import numpy as np

from groundup.core import ConfigError
from groundup.tokenizer import FastTokenizer, load_tokenizer

from ..weights.directory import GENERATION, read_json
from .format import Value

NORMAL, CONTROL, UNUSED = 1, 3, 5
TEMPLATE = "chat_template.jinja"


def tokenizer_metadata(directory: Path, vocab_size: int) -> dict[str, Value]:
    """The metadata of a model directory's tokenizer, and of its chat template if it has one.

    vocab_size  rows of the model's embedding; those without a token get a name and are unused

    Raises ConfigError for a tokenizer that is not ours or that has more ids than the model.
    """
    tokenizer = load_tokenizer(directory)
    if not isinstance(tokenizer, FastTokenizer):
        raise ConfigError(
            f"The tokenizer of {directory} is {type(tokenizer).__name__}; GGUF is written with the "
            "byte-level BPE of `groundup tokenizer`."
        )
    spare = vocab_size - tokenizer.vocab_size
    if spare < 0:
        raise ConfigError(
            f"The tokenizer of {directory} has {tokenizer.vocab_size} ids and its model "
            f"{vocab_size}; they do not belong together."
        )
    spelt = read_json(directory / "tokenizer.json")["model"]
    plain = sorted(spelt["vocab"], key=spelt["vocab"].get)
    kinds = [NORMAL] * len(plain) + [CONTROL] * len(tokenizer.specials) + [UNUSED] * spare
    template = directory / TEMPLATE
    told: dict[str, Value] = {
        "model": "gpt2",
        "pre": tokenizer.pattern,
        "tokens": [*plain, *tokenizer.specials, *(f"[PAD{place}]" for place in range(spare))],
        "token_type": np.array(kinds, np.int32),
        "merges": [" ".join(pair) for pair in spelt["merges"]],
        "add_bos_token": False,
        "add_space_prefix": False,
        **ends(directory),
    }
    metadata = {f"tokenizer.ggml.{key}": value for key, value in told.items()}
    if template.is_file():
        metadata["tokenizer.chat_template"] = template.read_text(encoding="utf-8")
    return metadata


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
