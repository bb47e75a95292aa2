"""Tokenizer directories: written for everybody, read back strictly, and the stage that makes one.

    tokenizer.json           Hugging Face `tokenizers`: vocabulary, merges, pattern, special tokens
    tokenizer_config.json    what transformers asks for
    chat_template.jinja      the chat format

A model directory holds the same three files. The end of a document is `<|endoftext|>`; a chat
model also stops at `<|im_end|>`, which its generation_config.json lists.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    DataError,
    Draft,
    device,
    produce,
    write_json,
    write_text,
)

from . import compiled
from .bpe import PATTERNS, byte_characters, train_bpe
from .chat import TEMPLATE
from .fast import FastTokenizer, tokenizer_json
from .specials import DOCUMENT_END, FIRST, MASK, SEPARATOR, SPECIALS, spelt_out

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class TokenizerConfig(Config):
    """What vocabulary to learn."""

    vocab_size: int = Field(default=4096, ge=256 + len(SPECIALS))
    """Ids in all: 256 bytes, merges, special tokens."""
    pattern: Literal["qwen2", "gpt-2"] = "qwen2"
    """Where merges may not cross, by llama.cpp's name for the expression."""
    specials: tuple[str, ...] = SPECIALS
    """Special tokens; they get the last ids, in this order. `chat`, `encoder`, `sentinels` and
    `middle` stand for the sets of these names."""

    @field_validator("specials")
    @classmethod
    def spell(cls, specials: tuple[str, ...]) -> tuple[str, ...]:
        """Replace names of sets by what is in them."""
        return spelt_out(specials)


def train_tokenizer(config: TokenizerConfig, corpus: Artifact, out: Path) -> Artifact:
    """Learn a byte-level BPE vocabulary from the training documents of a corpus.

    Raises DataError if the corpus is too small for `vocab_size`, telling how many ids it fills.
    """
    from groundup.corpus import read_split  # here: whoever only reads a tokenizer needs no corpus

    return produce(
        out,
        kind="tokenizer",
        stage="train_tokenizer",
        version=1,
        config=config,
        parents={"corpus": corpus},
        write=lambda draft: write_tokenizer(
            draft, config, (document.text for document in read_split(corpus, "train"))
        ),
    )


def write_tokenizer(draft: Draft, config: TokenizerConfig, texts: Iterable[str]) -> None:
    """Train on texts and write the directory; the body of the stage."""
    size = config.vocab_size - len(config.specials)
    if compiled.library() is None:
        merges = train_bpe(texts, size, config.pattern)
    else:
        merges = compiled.learn_merges(texts, size, config.pattern, device.cores())
    tokenizer = FastTokenizer(merges, config.pattern, config.specials)
    if tokenizer.vocab_size < config.vocab_size:
        raise DataError(
            f"The corpus fills {tokenizer.vocab_size} ids and vocab_size={config.vocab_size} was "
            f"asked for; add text or set vocab_size={tokenizer.vocab_size}."
        )
    save(tokenizer, draft.path)
    longest = max((left + right for left, right in merges), key=len, default=b"")
    draft.numbers |= {"vocab_size": tokenizer.vocab_size, "longest_bytes": len(longest)}


def save(tokenizer: FastTokenizer, directory: Path, *, context_length: int | None = None) -> None:
    """Write the three files of a tokenizer into a directory, which is made if need be.

    `context_length` is the longest input of the model that the directory belongs to, in tokens.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "tokenizer.json", tokenizer_json(tokenizer))
    write_json(directory / "tokenizer_config.json", settings(tokenizer, context_length))
    write_text(directory / "chat_template.jinja", TEMPLATE)


def settings(tokenizer: FastTokenizer, context_length: int | None = None) -> dict[str, Any]:
    """The value of tokenizer_config.json.

    The class is the general one: Qwen's own would put a normaliser of its own before ours.
    """
    ends = DOCUMENT_END if DOCUMENT_END in tokenizer.specials else None
    found: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": ends,
        "pad_token": ends,
        "unk_token": None,
        "extra_special_tokens": [name for name in tokenizer.specials if name != ends],
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
    }
    named = {"mask_token": MASK, "cls_token": FIRST, "sep_token": SEPARATOR}
    found |= {role: name for role, name in named.items() if name in tokenizer.specials}
    if context_length is not None:
        found["model_max_length"] = context_length
    return found


def load(directory: Path | str) -> FastTokenizer:
    """Open a tokenizer directory or a model directory that `save` wrote into.

    Raises ArtifactError if there is no tokenizer.json, and DataError if the file asks for
    something that would give other ids than FastTokenizer's.
    """
    path = Path(directory) / "tokenizer.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model, pattern = content["model"], pattern_of(content["pre_tokenizer"])
        bytes_of = {character: byte for byte, character in byte_characters().items()}
        merges = [
            (bytes(map(bytes_of.__getitem__, left)), bytes(map(bytes_of.__getitem__, right)))
            for left, right in model["merges"]
        ]
        added = sorted(content["added_tokens"], key=lambda token: token["id"])
        tokenizer = FastTokenizer(merges, pattern, [token["content"] for token in added])
    except OSError as error:
        raise ArtifactError(
            f"Cannot read {path} ({error.strerror}); expected a directory with a tokenizer."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged or no byte-level BPE ({type(error).__name__}: {error}); make the "
            "tokenizer again with `groundup tokenizer`."
        ) from None
    check(path, content, tokenizer)
    return tokenizer


def pattern_of(pre_tokenizer: dict[str, Any]) -> str:
    """Name of the splitting pattern in a tokenizer.json; DataError if it is none of ours."""
    found = [step.get("pattern", {}).get("Regex") for step in pre_tokenizer["pretokenizers"]]
    for name, expression in PATTERNS.items():
        if expression in found:
            return name
    raise DataError(
        f"The tokenizer cuts text by {found[0]!r}, and only {', '.join(PATTERNS)} are known; "
        "its ids would not be reproduced."
    )


def check(path: Path, content: dict[str, Any], tokenizer: FastTokenizer) -> None:
    """Raise unless the file says what `save` would have written for this tokenizer."""
    ours = tokenizer_json(tokenizer)
    for part in ("normalizer", "pre_tokenizer", "added_tokens", "model"):
        if without_empty(content[part]) != without_empty(ours[part]):
            raise DataError(
                f"{path}: its {part} differs from what groundup encodes by (byte-level BPE, "
                "no normaliser, special tokens last); the ids would differ from the file's."
            )


def without_empty(value: Any) -> Any:
    """A JSON value whose keys that are null, empty or false are left out: they mean the same.

    >>> without_empty({"dropout": None, "prefix": "", "type": "BPE"})
    {'type': 'BPE'}
    """
    return {key: kept for key, kept in value.items() if kept} if isinstance(value, dict) else value
