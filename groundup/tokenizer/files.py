"""Tokenizer directories in Hugging Face's format, and the training stage.

    tokenizer.json           Hugging Face `tokenizers`: vocabulary, merges, pattern, special tokens
    tokenizer_config.json    settings of transformers
    chat_template.jinja      the chat format

A model directory contains the same three files. A document ends with `<|endoftext|>`; a chat model
also stops at `<|im_end|>`, which its generation_config.json lists.
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
from .bpe import (
    CLS,
    DOCUMENT_END,
    MASK,
    PATTERNS,
    SEPARATOR,
    SPECIALS,
    byte_to_character,
    expand_special_sets,
    train_bpe,
)
from .chat import CHATML_TEMPLATE
from .fast import FastTokenizer, to_tokenizer_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class TokenizerConfig(Config):
    """Which vocabulary to learn."""

    vocab_size: int = Field(default=4096, ge=256 + len(SPECIALS))
    """Total number of ids: 256 bytes, merges, special tokens."""
    pattern: Literal["qwen2", "gpt-2"] = "qwen2"
    """Splitting pattern that merges may not cross, by llama.cpp's name."""
    specials: tuple[str, ...] = SPECIALS
    """Special tokens; they get the last ids, in this order. `chat`, `encoder`, `sentinels` and
    `middle` stand for predefined sets."""

    @field_validator("specials")
    @classmethod
    def expand_sets(cls, specials: tuple[str, ...]) -> tuple[str, ...]:
        """Expand the names of predefined sets."""
        return expand_special_sets(specials)


def train_tokenizer(config: TokenizerConfig, corpus: Artifact, out: Path) -> Artifact:
    """Learn a byte-level BPE vocabulary from the training documents of a corpus.

    Raises DataError if the corpus is too small for `vocab_size`, with the possible size.
    """
    from groundup.corpus import read_split  # lazy: reading a tokenizer needs no corpus

    def write(draft: Draft) -> None:
        texts = (document.text for document in read_split(corpus, "train"))
        write_tokenizer(draft, config, texts)

    return produce(
        out, kind="tokenizer", stage="train_tokenizer", version=1, config=config,
        parents={"corpus": corpus}, write=write,
    )  # fmt: skip


def write_tokenizer(draft: Draft, config: TokenizerConfig, texts: Iterable[str]) -> None:
    """Train on texts and write the directory; the body of the stage."""
    size = config.vocab_size - len(config.specials)
    if compiled.load_bpe_library() is None:
        merges = train_bpe(texts, size, config.pattern)
    else:
        merges = compiled.learn_merges(texts, size, config.pattern, device.available_cores())
    tokenizer = FastTokenizer(merges, config.pattern, config.specials)
    if tokenizer.vocab_size < config.vocab_size:
        what = f"The corpus fills only {tokenizer.vocab_size} of vocab_size={config.vocab_size}"
        raise DataError(f"{what} ids; add text or set vocab_size={tokenizer.vocab_size}.")
    save_tokenizer(tokenizer, draft.path)
    longest = max((left + right for left, right in merges), key=len, default=b"")
    draft.numbers |= {"vocab_size": tokenizer.vocab_size, "longest_bytes": len(longest)}


def save_tokenizer(
    tokenizer: FastTokenizer, directory: Path, *, context_length: int | None = None
) -> None:
    """Write the three files of a tokenizer into a directory, which is created if missing.

    `context_length` is the maximum input length of the directory's model, in tokens.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "tokenizer.json", to_tokenizer_json(tokenizer))
    write_json(directory / "tokenizer_config.json", _hf_tokenizer_config(tokenizer, context_length))
    write_text(directory / "chat_template.jinja", CHATML_TEMPLATE)


def _hf_tokenizer_config(
    tokenizer: FastTokenizer, context_length: int | None = None
) -> dict[str, Any]:
    """The value of tokenizer_config.json.

    The class is the generic one: Qwen's would add a normaliser.
    """
    ends = DOCUMENT_END if DOCUMENT_END in tokenizer.specials else None
    config: dict[str, Any] = {
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
    named = {"mask_token": MASK, "cls_token": CLS, "sep_token": SEPARATOR}
    config |= {role: name for role, name in named.items() if name in tokenizer.specials}
    if context_length is not None:
        config["model_max_length"] = context_length
    return config


def load_bpe_tokenizer(directory: Path | str) -> FastTokenizer:
    """Open a tokenizer or model directory that `save_tokenizer` wrote into.

    Raises ArtifactError if there is no tokenizer.json, and DataError if the file specifies anything
    that would change the ids of FastTokenizer.
    """
    path = Path(directory) / "tokenizer.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model, pattern = content["model"], _find_pattern(content["pre_tokenizer"])
        bytes_of = {character: byte for byte, character in byte_to_character().items()}
        spelt = lambda token: bytes(map(bytes_of.__getitem__, token))  # noqa: E731
        merges = [(spelt(left), spelt(right)) for left, right in model["merges"]]
        added = sorted(content["added_tokens"], key=lambda token: token["id"])
        tokenizer = FastTokenizer(merges, pattern, [token["content"] for token in added])
    except OSError as error:
        what = f"Cannot read {path} ({error.strerror})"
        raise ArtifactError(f"{what}; expected a directory with a tokenizer.") from None
    except (ValueError, KeyError, TypeError) as error:
        what = f"{path} is damaged or no byte-level BPE ({type(error).__name__}: {error})"
        raise DataError(f"{what}; recreate it with `groundup tokenizer`.") from None
    _check_unchanged(path, content, tokenizer)
    return tokenizer


def _find_pattern(pre_tokenizer: dict[str, Any]) -> str:
    expressions = [step.get("pattern", {}).get("Regex") for step in pre_tokenizer["pretokenizers"]]
    for name, expression in PATTERNS.items():
        if expression in expressions:
            return name
    known = ", ".join(PATTERNS)
    raise DataError(f"The tokenizer splits text by {expressions[0]!r}; known are only {known}.")


def _check_unchanged(path: Path, content: dict[str, Any], tokenizer: FastTokenizer) -> None:
    """Raise unless the file equals what `save_tokenizer` would write for this tokenizer."""
    expected = to_tokenizer_json(tokenizer)
    for part in ("normalizer", "pre_tokenizer", "added_tokens", "model"):
        if _drop_empty(content[part]) != _drop_empty(expected[part]):
            what = f"{path}: its {part} is not groundup's (byte-level BPE, no normaliser"
            raise DataError(f"{what}, special tokens last), so the ids would differ.")


def _drop_empty(value: Any) -> Any:
    """A JSON value without null, empty or false keys, which mean the same as missing ones.

    >>> _drop_empty({"dropout": None, "prefix": "", "type": "BPE"})
    {'type': 'BPE'}
    """
    return {key: item for key, item in value.items() if item} if isinstance(value, dict) else value
