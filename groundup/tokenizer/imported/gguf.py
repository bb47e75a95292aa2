"""The tokenizer in a GGUF file's metadata, as llama.cpp reads it.

    tokenizer.ggml.model  llama  SentencePiece's pieces with scores    gpt2  byte-level, with merges
                          t5     unigram                               bert  WordPiece

Works on the metadata as a mapping; reading the file is groundup.model's task. Tokens that GGUF
calls control are special here, possibly more than in the original tokenizer.json (such as Gemma's
<unused0>). Normalisation that GGUF does not contain (Qwen's NFC) is not applied, as in llama.cpp.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from groundup.core import DataError

from .content import (
    JsonContent,
    added_tokens,
    bpe_model,
    byte_level_steps,
    special_tokens_processor,
    tokenizer_content,
)
from .pieces import CONTROL, NORMAL, USER_DEFINED, ScoredPiece
from .sentencepiece import SentencePieceModel, tokenizer_from_model
from .spelling import SPACE_MARK
from .tokenizer import ImportedTokenizer
from .vocabulary import wordpiece_tokenizer

GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SHORTENED = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
BEFORE = r"[^\r\n\p{L}\p{N}]?"
CASED = f"{BEFORE}{UPPER}*{LOWER}+%s|{BEFORE}{UPPER}+{LOWER}*%s"
SLASHED = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

SPLIT_PATTERNS: dict[str, tuple[str, ...]] = {
    "gpt-2": (GPT_2,),
    "starcoder": (r"\p{N}", GPT_2),
    "llama-bpe": (rf"{SHORTENED}|{BEFORE}\p{{L}}+|\p{{N}}{{1,3}}{REST}",),
    "qwen2": (rf"{SHORTENED}|{BEFORE}\p{{L}}+|\p{{N}}{REST}",),
    "tekken": (CASED % ("", "") + r"|\p{N}" + SLASHED,),
    "gpt-4o": (CASED % (SHORT, SHORT) + r"|\p{N}{1,3}" + SLASHED,),
    "deepseek-v3": (
        r"\p{N}{1,3}",
        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
        "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}
"""Splitting patterns by llama.cpp's name, applied one after the other."""
PATTERN_ALIASES = {
    "default": "gpt-2", "olmo": "gpt-2", "phi-2": "gpt-2", "mpt": "gpt-2", "jina-es": "gpt-2",
    "jina-de": "gpt-2", "roberta-bpe": "gpt-2", "llama3": "llama-bpe", "llama-v3": "llama-bpe",
    "dbrx": "llama-bpe", "smaug-bpe": "llama-bpe", "stablelm2": "qwen2", "megrez": "qwen2",
    "deepseek-r1-qwen": "qwen2", "smollm": "starcoder", "refact": "starcoder",
    "command-r": "starcoder", "codeshell": "starcoder", "exaone": "starcoder",
    "llama4": "gpt-4o",
}  # fmt: skip
WHOLE_TOKEN_MODELS = ("llama-bpe", "tekken", "gpt-4o")
"""Models whose tokens are used when a piece of text equals one, whatever the merges say."""
ROLE_KEYS = {
    "bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad", "seperator": "sep",
    "cls": "cls", "mask": "mask",
}  # fmt: skip
"""Roles of special tokens by GGUF's keys; the misspelling is GGUF's."""


def tokenizer_of_gguf(metadata: Mapping[str, Any]) -> ImportedTokenizer:
    """Build the tokenizer from a GGUF file's metadata: numbers, texts and sequences by key.

    Raises DataError if a key is missing or of an unknown kind; the message lists the known ones.
    """
    kind = metadata.get("tokenizer.ggml.model")
    makers = {"llama": _scored_tokenizer, "t5": _scored_tokenizer, "gpt2": _bpe_tokenizer,
              "bert": _wordpiece_tokenizer}  # fmt: skip
    if kind not in makers:
        raise DataError(f"tokenizer.ggml.model is {kind!r}; expected one of {', '.join(makers)}.")
    try:
        pieces = _read_pieces(metadata)
        return makers[kind](metadata, pieces)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"The tokenizer's metadata is damaged ({type(error).__name__}: {str(error)[:200]})"
        raise DataError(f"{what}; convert the model again.") from None


def _get_metadata(metadata: Mapping[str, Any], name: str, default: Any = None) -> Any:
    return metadata.get(f"tokenizer.ggml.{name}", default)


def _read_pieces(metadata: Mapping[str, Any]) -> list[ScoredPiece]:
    tokens = [text if isinstance(text, str) else bytes(text).decode() for text in
              _get_metadata(metadata, "tokens", ())]  # fmt: skip
    if not tokens:
        raise ValueError("it has no tokenizer.ggml.tokens")
    scores, kinds = _get_metadata(metadata, "scores"), _get_metadata(metadata, "token_type")
    scores = [0.0] * len(tokens) if scores is None else [float(score) for score in scores]
    kinds = [NORMAL] * len(tokens) if kinds is None else [int(kind) for kind in kinds]
    return [ScoredPiece(*row) for row in zip(tokens, scores, kinds, strict=True)]


def _read_settings(metadata: Mapping[str, Any], pieces: list[ScoredPiece]) -> dict[str, Any]:
    """Equivalent of tokenizer_config.json: special tokens by role, and the chat template."""
    settings: dict[str, Any] = {}
    for key, role in ROLE_KEYS.items():
        id = _get_metadata(metadata, f"{key}_token_id")
        if id is not None and 0 <= int(id) < len(pieces):
            settings[f"{role}_token"] = pieces[int(id)].text
    if template := metadata.get("tokenizer.chat_template"):
        settings["chat_template"] = str(template)
    return settings


def _surrounding_ids(
    metadata: Mapping[str, Any], *, bos: bool, eos: bool, names: tuple[str, str] = ("bos", "eos")
) -> tuple[list[int], list[int]]:  # ids before a text and ids after it
    """Ids before and after a text; `bos` and `eos` are the defaults of missing flags."""
    found: list[list[int]] = []
    for name, key, default in zip(names, ("bos", "eos"), (bos, eos), strict=True):
        usual = _get_metadata(metadata, f"{key}_token_id", -1)
        id = int(_get_metadata(metadata, f"{name}_token_id", usual))
        is_added = id >= 0 and _get_metadata(metadata, f"add_{key}_token", default)
        found.append([id] if is_added else [])
    return found[0], found[1]


def _scored_tokenizer(metadata: Mapping[str, Any], pieces: list[ScoredPiece]) -> ImportedTokenizer:
    """SentencePiece models: pieces merged by score, or the likeliest segmentation for t5."""
    is_unigram = _get_metadata(metadata, "model") == "t5"
    charsmap = np.array(_get_metadata(metadata, "precompiled_charsmap", []), np.int64)
    model = SentencePieceModel(
        [_mark_spaces(piece) for piece in pieces],
        "unigram" if is_unigram else "bpe",
        adds_prefix_space=bool(_get_metadata(metadata, "add_space_prefix", True)),
        collapses_spaces=bool(_get_metadata(metadata, "remove_extra_whitespaces", False)),
        charsmap=charsmap.astype("u1").tobytes(),
    )
    before, after = _surrounding_ids(metadata, bos=not is_unigram, eos=is_unigram)
    return tokenizer_from_model(model, before, after, _read_settings(metadata, model.pieces))


def _mark_spaces(piece: ScoredPiece) -> ScoredPiece:
    """A piece with marked spaces; files store user-defined pieces unmarked."""
    if piece.kind not in (NORMAL, USER_DEFINED) or " " not in piece.text:
        return piece
    return piece._replace(text=piece.text.replace(" ", SPACE_MARK))


def _bpe_tokenizer(metadata: Mapping[str, Any], pieces: list[ScoredPiece]) -> ImportedTokenizer:
    name = str(_get_metadata(metadata, "pre", "default"))
    name = PATTERN_ALIASES.get(name, name)
    if name not in SPLIT_PATTERNS:
        known = ", ".join(sorted({*SPLIT_PATTERNS, *PATTERN_ALIASES}))
        what = f"tokenizer.ggml.pre is {name!r}, and how it cuts text is not known"
        raise DataError(f"{what}; known are {known}. The ids would not be the model's.")
    merges = [str(merge).split(" ", 1) for merge in _get_metadata(metadata, "merges")]
    vocab = {piece.text: id for id, piece in enumerate(pieces)}
    if len(vocab) < len(pieces):
        raise ValueError("two tokens have one text")
    model = bpe_model(vocab, merges, ignore_merges=name in WHOLE_TOKEN_MODELS)
    before, after = _surrounding_ids(metadata, bos=False, eos=False)
    steps: dict[str, JsonContent | None] = byte_level_steps(SPLIT_PATTERNS[name])
    steps["post_processor"] = special_tokens_processor(
        *([(pieces[id].text, id) for id in ids] for ids in (before, after))
    )
    made = tokenizer_content(model, added_tokens(pieces), steps)
    return ImportedTokenizer(made, _read_settings(metadata, pieces))


def _wordpiece_tokenizer(
    metadata: Mapping[str, Any], pieces: list[ScoredPiece]
) -> ImportedTokenizer:
    """WordPiece, whose tokens GGUF marks at word beginnings instead of inside words."""
    tokens = [
        piece.text if piece.kind == CONTROL or SPACE_MARK in piece.text[:1] else f"##{piece.text}"
        for piece in pieces
    ]
    tokens = [token.removeprefix(SPACE_MARK) for token in tokens]
    before, after = _surrounding_ids(metadata, bos=True, eos=True, names=("cls", "seperator"))
    settings = _read_settings(metadata, pieces)
    is_lower = bool(_get_metadata(metadata, "normalizer.lowercase", True))
    strips = _get_metadata(metadata, "normalizer.strip_accents", is_lower)
    settings |= {"do_lower_case": is_lower, "strip_accents": bool(strips)}
    for role, ids in (("cls", before), ("sep", after)):
        settings |= {f"{role}_token": tokens[id] for id in ids}
    return wordpiece_tokenizer(tokens, settings)
