"""Plain vocabulary files: WordPiece's vocab.txt, and vocab.json with merges.txt.

GPT-2's merges are of bytes. GPT-1's are of characters of lower-case words, split like BERT's, with
a mark at the end of a word's last piece.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.core import ArtifactError, DataError, regular

from ..bpe import PATTERNS, byte_characters
from .content import added, bpe, byte_level, content, framed, read_object
from .tokenizer import ImportedTokenizer, named

BERT = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
"""Default special tokens."""
PAIR_ROLES = ("bos_token", "eos_token", "unk_token")
WORD_END = "</w>"
LONGEST_WORD = 100
"""Maximum characters of a word; longer ones are unknown."""


def word_pieces(
    tokens: Sequence[str], settings: Mapping[str, Any] | None = None
) -> ImportedTokenizer:
    """WordPiece with a given vocabulary: the longest token from the left, `##` inside words.

    Settings are those of tokenizer_config.json: do_lower_case, strip_accents (as lower case),
    tokenize_chinese_chars, and the special tokens.

    >>> tokenizer = word_pieces(["[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able"])
    >>> tokenizer.frame.around(tokenizer.encode("Unaffable")), tokenizer.lossy.code
    ([1, 3, 4, 5, 2], 'words')

    Raises DataError for a missing unknown token, or for duplicate tokens.
    """
    settings = {f"{role}_token": name for role, name in BERT.items()} | dict(settings or {})
    ids = {token: id for id, token in enumerate(tokens)}
    if len(ids) < len(tokens):
        twice = next(token for id, token in enumerate(tokens) if ids[token] != id)
        raise DataError(f"The token {twice!r} is in the vocabulary twice; which id is meant?")
    specials = {role: str(named(settings.get(f"{role}_token"))) for role in BERT}
    if specials["unk"] not in ids:
        raise DataError(f"The vocabulary has no {specials['unk']} for unknown words.")
    model = {
        "type": "WordPiece", "unk_token": specials["unk"], "continuing_subword_prefix": "##",
        "max_input_chars_per_word": LONGEST_WORD, "vocab": ids,
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
        "post_processor": framed(*ends),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    }
    found = [added(ids[name], name, True) for name in specials.values() if name in ids]
    return ImportedTokenizer(content(model, found, steps), settings)


def open_word_pieces(path: Path, settings: Mapping[str, Any] | None = None) -> ImportedTokenizer:
    """Open a vocab.txt, one token per line; ArtifactError if it is invalid."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"Cannot read {path} as lines of tokens: {error}.") from None
    tokens = [line.removesuffix("\r") for line in lines]
    try:
        return word_pieces(tokens[:-1] if tokens[-1] == "" else tokens, settings)
    except DataError as error:
        raise ArtifactError(f"{path} is no WordPiece vocabulary: {error}") from None


def open_pairs(
    vocab: Path, merges: Path, settings: Mapping[str, Any] | None = None
) -> ImportedTokenizer:
    """Open GPT-2's or GPT-1's vocab.json and merges.txt; ArtifactError if they are invalid."""
    try:
        ids = read_object(vocab)
        lines = regular(merges).read_text(encoding="utf-8").split("\n")
        pairs = [line.split(" ") for line in lines if line.strip() and line[:9] != "#version:"]
        if any(pair[-1].endswith(WORD_END) for pair in pairs):
            return pairs_of_words(ids, pairs, settings)
        special = {str(named((settings or {}).get(role))) for role in PAIR_ROLES}
        found = [added(ids[name], name, True) for name in special if name in ids]
        steps = byte_level([PATTERNS["gpt-2"]])
        return ImportedTokenizer(content(bpe(ids, pairs), found, steps), settings)
    except (OSError, ValueError, TypeError, AttributeError, DataError) as error:
        raise ArtifactError(
            f"{vocab} and {merges.name} are no byte-level vocabulary ({error})."
        ) from None


def pairs_of_words(
    ids: Mapping[str, int], pairs: Sequence[Sequence[str]], settings: Mapping[str, Any] | None
) -> ImportedTokenizer:
    """GPT-1's merges, equivalent to transformers' OpenAIGPTTokenizer.

    Raises DataError for byte merges with end-of-word marks, such as CLIP's, or no unknown token.
    """
    settings = {"unk_token": "<unk>"} | dict(settings or {})
    unknown = str(named(settings["unk_token"]))
    if ids.keys() >= {*byte_characters().values()}:
        raise DataError(f"pairs of bytes with {WORD_END} after words, as CLIP has; not known")
    if unknown not in ids:
        raise DataError(f"no {unknown} for unknown characters")
    special = {str(named(settings.get(role))) for role in PAIR_ROLES}
    found = [added(ids[name], name, True) for name in special if name in ids]
    inner = bpe(ids, pairs, unk_token=unknown) | {"fuse_unk": False, "end_of_word_suffix": WORD_END}
    normaliser = {
        "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
        "strip_accents": None, "lowercase": True,
    }  # fmt: skip
    steps = {
        "normalizer": normaliser,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "BPEDecoder", "suffix": WORD_END},
    }
    return ImportedTokenizer(content(inner, found, steps), settings)
