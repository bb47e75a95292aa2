"""Plain vocabulary files: WordPiece's vocab.txt, vocab.json with merges.txt, Mistral's tekken.json.

GPT-2's merges are of bytes. GPT-1's are of characters of lower-case words, split like BERT's, with
a mark at the end of a word's last piece. Tekken has byte sequences with ranks, merged like in
tiktoken: ranks are the scores of which pieces.py makes merges; special tokens have the first ids.
"""

import base64
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from groundup.core import ArtifactError, DataError, require_regular_file

from ..bpe import PATTERNS, byte_to_character
from .content import (
    added_token,
    bpe_model,
    byte_level_steps,
    read_json_content,
    special_tokens_processor,
    tokenizer_content,
)
from .pieces import merges_from_scores
from .tokenizer import ImportedTokenizer, token_text

DEFAULT_SPECIALS = {
    "unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]",
}  # fmt: skip
"""Default special tokens."""
GPT_ROLES = ("bos_token", "eos_token", "unk_token")
WORD_END = "</w>"
MAX_WORD_LENGTH = 100
"""Maximum characters of a word; longer ones are unknown."""


def wordpiece_tokenizer(
    tokens: Sequence[str], settings: Mapping[str, Any] | None = None
) -> ImportedTokenizer:
    """WordPiece with a given vocabulary: the longest token from the left, `##` inside words.

    Settings are those of tokenizer_config.json: do_lower_case, strip_accents (as lower case),
    tokenize_chinese_chars, and the special tokens.

    >>> tokenizer = wordpiece_tokenizer(["[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able"])
    >>> tokenizer.frame.wrap(tokenizer.encode("Unaffable")), tokenizer.loss_reason.code
    ([1, 3, 4, 5, 2], 'words')

    Raises DataError for a missing unknown token, or for duplicate tokens.
    """
    usual = {f"{role}_token": name for role, name in DEFAULT_SPECIALS.items()}
    settings = usual | dict(settings or {})
    ids = {token: id for id, token in enumerate(tokens)}
    if len(ids) < len(tokens):
        twice = next(token for id, token in enumerate(tokens) if ids[token] != id)
        raise DataError(f"The token {twice!r} is in the vocabulary twice; which id is meant?")
    specials = {role: str(token_text(settings.get(f"{role}_token"))) for role in DEFAULT_SPECIALS}
    if specials["unk"] not in ids:
        raise DataError(f"The vocabulary has no {specials['unk']} for unknown words.")
    model = {
        "type": "WordPiece", "unk_token": specials["unk"], "continuing_subword_prefix": "##",
        "max_input_chars_per_word": MAX_WORD_LENGTH, "vocab": ids,
    }  # fmt: skip
    normaliser = {
        "type": "BertNormalizer", "clean_text": True,
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
        "strip_accents": settings.get("strip_accents"),
        "lowercase": settings.get("do_lower_case", True),
    }  # fmt: skip
    ends = [[(specials[role], ids[specials[role]])] if specials[role] in ids else []
            for role in ("cls", "sep")]  # fmt: skip
    steps = {
        "normalizer": normaliser,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": special_tokens_processor(*ends),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    }
    found = [added_token(ids[name], name, True) for name in specials.values() if name in ids]
    return ImportedTokenizer(tokenizer_content(model, found, steps), settings)


def open_wordpiece(path: Path, settings: Mapping[str, Any] | None = None) -> ImportedTokenizer:
    """Open a vocab.txt, one token per line; ArtifactError if it is invalid."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"Cannot read {path} as lines of tokens: {error}.") from None
    tokens = [line.removesuffix("\r") for line in lines]
    try:
        return wordpiece_tokenizer(tokens[:-1] if tokens[-1] == "" else tokens, settings)
    except DataError as error:
        raise ArtifactError(f"{path} is no WordPiece vocabulary: {error}") from None


def open_vocab_and_merges(
    vocab: Path, merges: Path, settings: Mapping[str, Any] | None = None
) -> ImportedTokenizer:
    """Open GPT-2's or GPT-1's vocab.json and merges.txt; ArtifactError if they are invalid."""
    try:
        ids = read_json_content(vocab)
        lines = require_regular_file(merges).read_text(encoding="utf-8").split("\n")
        pairs = [line.split(" ") for line in lines if line.strip() and line[:9] != "#version:"]
        if any(pair[-1].endswith(WORD_END) for pair in pairs):
            return _gpt1_tokenizer(ids, pairs, settings)
        special = {str(token_text((settings or {}).get(role))) for role in GPT_ROLES}
        found = [added_token(ids[name], name, True) for name in special if name in ids]
        steps = byte_level_steps([PATTERNS["gpt-2"]])
        return ImportedTokenizer(tokenizer_content(bpe_model(ids, pairs), found, steps), settings)
    except (OSError, ValueError, TypeError, AttributeError, DataError) as error:
        what = f"{vocab} and {merges.name} are no byte-level vocabulary"
        raise ArtifactError(f"{what} ({error}).") from None


def _gpt1_tokenizer(
    ids: Mapping[str, int], pairs: Sequence[Sequence[str]], settings: Mapping[str, Any] | None
) -> ImportedTokenizer:
    """GPT-1's merges, equivalent to transformers' OpenAIGPTTokenizer.

    Raises DataError for byte merges with end-of-word marks, such as CLIP's, or no unknown token.
    """
    settings = {"unk_token": "<unk>"} | dict(settings or {})
    unknown = str(token_text(settings["unk_token"]))
    if ids.keys() >= {*byte_to_character().values()}:
        raise DataError(f"pairs of bytes with {WORD_END} after words, as CLIP has; not known")
    if unknown not in ids:
        raise DataError(f"no {unknown} for unknown characters")
    special = {str(token_text(settings.get(role))) for role in GPT_ROLES}
    found = [added_token(ids[name], name, True) for name in special if name in ids]
    inner = bpe_model(ids, pairs, unk_token=unknown)
    inner |= {"fuse_unk": False, "end_of_word_suffix": WORD_END}
    normaliser = {
        "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
        "strip_accents": None, "lowercase": True,
    }  # fmt: skip
    steps = {
        "normalizer": normaliser,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "BPEDecoder", "suffix": WORD_END},
    }
    return ImportedTokenizer(tokenizer_content(inner, found, steps), settings)


TEKKEN_SPECIALS = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]",
)  # fmt: skip
"""Names of special tokens for files without them (mistral-common)."""


def open_tekken(path: Path, settings: Mapping[str, Any] | None = None) -> ImportedTokenizer:
    """Open a tekken.json; ArtifactError if it is invalid."""
    try:
        return _tokenizer_from_tekken(read_json_content(path), settings)
    except (ValueError, LookupError, TypeError, AttributeError, DataError) as error:
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise ArtifactError(f"{path} is no tekken.json ({what}).") from None


def _tokenizer_from_tekken(
    tekken: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> ImportedTokenizer:
    config, shown = tekken["config"], byte_to_character()
    first, size = int(config["default_num_special_tokens"]), int(config["default_vocab_size"])
    names = dict(enumerate(TEKKEN_SPECIALS))
    names |= {int(row["rank"]): row["token_str"] for row in tekken.get("special_tokens") or []}
    specials = [names.get(id, f"<SPECIAL_{id}>") for id in range(first)]
    ids: dict[str, int] = {}
    for row in islice(tekken["vocab"], size - first):
        token = base64.b64decode(row["token_bytes"], validate=True)
        ids["".join(shown[byte] for byte in token)] = first + int(row["rank"])
    merges = merges_from_scores({token: -id for token, id in ids.items()})
    marks = [added_token(id, name, True) for id, name in enumerate(specials)]
    vocab = ids | {name: id for id, name in enumerate(specials)}
    steps = byte_level_steps([config["pattern"]])
    steps["post_processor"] = special_tokens_processor([("<s>", 1)], [])
    made = tokenizer_content(bpe_model(vocab, merges, ignore_merges=True), marks, steps)
    roles = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return ImportedTokenizer(made, roles | dict(settings or {}))
