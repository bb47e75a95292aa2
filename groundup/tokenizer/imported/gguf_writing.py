"""A tokenizer as a GGUF file's metadata, for llama.cpp; the reverse of gguf.py.

    byte-level BPE           gpt2   merges, and the name of a pre-tokenizer that llama.cpp knows
    SentencePiece's BPE      llama  scores: the two pieces that form the best one are merged
    SentencePiece's unigram  t5     scores, and the compiled normalisation
    WordPiece                bert   tokens marked at word beginnings

A tokenizer.json has merges where `llama` has scores, which merge any two pieces that form a third,
listed or not; if every piece is merged alike by both, so is every text (pieces.py). Other steps
that llama.cpp lacks are refused by name, except Unicode normalisation of byte-level BPE.

llama.cpp differs from tokenizer.json in this: a space before a text is also put after special
tokens, and before a text that begins with one; special tokens may be formed of typed text; white
space after special tokens is dropped only of models with phi-3 in their names.
Source: ggml-org/llama.cpp, src/llama-vocab.cpp and convert_hf_to_gguf.py.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from groundup.core import ConfigError

from ..bpe import PATTERNS
from .gguf import GPT_2, ROLE_KEYS, SPLIT_PATTERNS
from .pieces import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    ScoredPiece,
    has_all_bytes,
    list_splits,
    mergeable_scores,
    merges_from_scores,
    merges_of,
    scored_pieces,
)
from .spelling import BYTE as BYTE_TEXT
from .spelling import SPACE_MARK, flatten_steps
from .tokenizer import ImportedTokenizer

Fields = dict[str, Any]
"""Metadata without the prefix tokenizer.ggml."""
PHI3 = ("phi-3", "phi3")


class SpaceSteps(NamedTuple):
    """What SentencePiece does to a text before it is cut."""

    prefix: bool = False
    """Whether a space is put before the text."""
    squeezed: bool = False
    """Whether spaces at the ends are removed and runs of them collapsed."""
    charsmap: bytes = b""
    is_split: bool = False
    """Whether no piece crosses the space before a word."""


def gguf_of_tokenizer(
    tokenizer: ImportedTokenizer, size: int, name: str = "", roles: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The metadata of which llama.cpp makes this tokenizer; `tokenizer_of_gguf` reads them.

    size   ids of the model's embedding; those without a token are marked as unused
    name   of the model (general.name)
    roles  ids of bos, eos and pad, if they are not the tokenizer's own

    Raises ConfigError for a tokenizer that llama.cpp does not have.

    >>> from groundup.tokenizer.imported.vocabulary import wordpiece_tokenizer
    >>> found = gguf_of_tokenizer(wordpiece_tokenizer(["[UNK]", "[CLS]", "cat", "##s"]), 4)
    >>> found["tokenizer.ggml.model"], found["tokenizer.ggml.tokens"]
    ('bert', ['[UNK]', '[CLS]', '▁cat', 's'])
    """
    frame, kind = tokenizer.frame, tokenizer.content["model"]["type"]
    if kind == "BPE" and _has_step(tokenizer, "pre_tokenizer", "ByteLevel"):
        kind = "ByteLevel"
    writers = {"ByteLevel": _byte_level_fields, "BPE": _merged_fields, "Unigram": _unigram_fields,
               "WordPiece": _wordpiece_fields}  # fmt: skip
    if kind not in writers:
        raise ConfigError(f"the tokenizer is {kind}; llama.cpp has BPE, Unigram and WordPiece.")
    if max(map(len, frame)) > 1:
        raise ConfigError(f"the tokenizer puts {frame} around a text; llama.cpp one id each.")
    fields = writers[kind](tokenizer, size)
    fields |= {"add_eos_token": True} if frame.after else {}
    if kind != "ByteLevel":
        _check_stripping(tokenizer, name)
    ids = tokenizer.role_ids | dict(roles or {})
    ends = ("bos", "sep" if kind == "WordPiece" else "eos")  # also [CLS] is llama.cpp's bos
    ids |= {role: around[0] for role, around in zip(ends, frame, strict=True) if around}
    fields |= {f"{key}_token_id": ids[role] for key, role in ROLE_KEYS.items() if role in ids}
    return {f"tokenizer.ggml.{key}": value for key, value in fields.items()}


def _has_step(tokenizer: ImportedTokenizer, name: str, kind: str) -> bool:
    return any(step["type"] == kind for step in flatten_steps(tokenizer.content, name))


def _check_stripping(tokenizer: ImportedTokenizer, name: str) -> None:
    """Raise ConfigError if white space around added tokens is theirs, as llama.cpp has it not."""
    mask, is_phi = tokenizer.role_ids.get("mask"), any(each in name.lower() for each in PHI3)
    for token in tokenizer.content["added_tokens"]:
        wrong = [flag for flag in ("single_word", "lstrip", "rstrip") if token.get(flag)]
        if wrong and token["id"] != mask and not (is_phi and wrong == ["rstrip"]):
            what = f"the token {token['content']!r} has {wrong[0]}, which llama.cpp has not"
            raise ConfigError(f"{what}, but rstrip if the model's folder has phi-3 in its name.")


def _typed_pieces(tokenizer: ImportedTokenizer, pieces: Iterable[ScoredPiece]) -> list[ScoredPiece]:
    """The pieces of every id, with the types of bytes and of added tokens."""
    model, typed = tokenizer.content["model"], [ScoredPiece("")] * tokenizer.vocab_size
    for id, piece in enumerate(pieces):
        is_byte = model.get("byte_fallback") and BYTE_TEXT.fullmatch(piece.text)
        typed[id] = piece._replace(kind=BYTE) if is_byte else piece
    for token in tokenizer.content["added_tokens"]:
        text, piece = token["content"], typed[token["id"]]
        is_marked = SPACE_MARK in text and not token["special"] and not token.get("normalized")
        if is_marked and piece.text == text:
            continue  # Gemma's runs of spaces: found before spaces are marked, so merged in fact
        kind = CONTROL if token["special"] else USER_DEFINED
        if kind == CONTROL and (piece.kind == UNKNOWN or text == model.get("unk_token")):
            kind = UNKNOWN
        typed[token["id"]] = ScoredPiece(text, piece.score, kind)
    return typed


def _plain_pieces(tokenizer: ImportedTokenizer) -> list[ScoredPiece]:
    tokens = tokenizer.tokens
    plain = [ScoredPiece(tokens.get(id, "")) for id in range(tokenizer.vocab_size)]
    return _typed_pieces(tokenizer, plain)


def _token_fields(pieces: Sequence[ScoredPiece], size: int) -> Fields:
    """Text and type of every id of the model; special tokens beyond its embedding are unused."""
    texts = [f"[PAD{id}]" for id in range(size)]
    kinds = np.full(size, UNUSED, np.int32)
    for id, piece in enumerate(pieces[:size]):
        if piece.text:
            texts[id], kinds[id] = piece.text, piece.kind
    if len({*texts}) < size:
        twice = next(text for id, text in enumerate(texts) if texts.index(text) < id)
        raise ConfigError(f"the tokenizer has the token {twice!r} twice; llama.cpp needs one.")
    return {"tokens": texts, "token_type": kinds}


def _byte_level_fields(tokenizer: ImportedTokenizer, size: int) -> Fields:
    cut, pieces = _pre_tokenizer_name(tokenizer), _plain_pieces(tokenizer)
    pieces = [each._replace(kind=CONTROL) if each.kind == UNKNOWN else each for each in pieces]
    merges = [" ".join(pair) for pair in merges_of(tokenizer.content["model"])]
    return {
        "model": "gpt2", "pre": cut, **_token_fields(pieces, size), "merges": merges,
        "add_bos_token": bool(tokenizer.frame.before), "add_space_prefix": False,
    }  # fmt: skip


def _pre_tokenizer_name(tokenizer: ImportedTokenizer) -> str:
    """llama.cpp's name of the expressions that cut the text; ByteLevel's own is GPT-2's."""
    patterns = []
    for step in flatten_steps(tokenizer.content, "pre_tokenizer"):
        if step["type"] == "ByteLevel" and step.get("use_regex", True):
            patterns.append(GPT_2)
        elif step["type"] == "Digits":
            patterns.append(r"\p{N}")
        elif step["type"] != "ByteLevel":
            patterns.append(str(step.get("pattern", {}).get("Regex", step)))
    for name, known in SPLIT_PATTERNS.items():
        if patterns in ([*known], [PATTERNS.get(name)]):
            return name
    what = f"the tokenizer splits text by {str(patterns)[:80]}"
    raise ConfigError(f"{what}; expected the pre-tokenizer of {', '.join(SPLIT_PATTERNS)}.")


def _space_steps(tokenizer: ImportedTokenizer) -> SpaceSteps:
    """The normalisation of a SentencePiece model; ConfigError names a step of another kind."""
    steps = SpaceSteps()
    if rules := tokenizer.extra.get("normaliser"):
        charsmap = base64.b64decode(rules["charsmap"])
        return SpaceSteps(bool(rules["prefix"]), bool(rules["squeezed"]), charsmap)
    for name in ("normalizer", "pre_tokenizer"):
        for step in flatten_steps(tokenizer.content, name):
            match step:
                case {"type": "Prepend", "prepend": "▁"}:
                    steps = steps._replace(prefix=True)
                case {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}:
                    pass
                case {"type": "Split", "pattern": {"String": " "}}:
                    pass  # Gemma's; spaces are marked by now
                case {"type": "Strip" | "WhitespaceSplit"} | {
                    "type": "Replace", "pattern": {"Regex": " {2,}" | "^ +| +$"}
                }:  # fmt: skip
                    steps = steps._replace(squeezed=True)
                case {"type": "Precompiled", "precompiled_charsmap": str(charsmap)}:
                    steps = steps._replace(charsmap=base64.b64decode(charsmap))
                case {"type": "Metaspace", "replacement": "▁"}:
                    is_put = step.get("prepend_scheme", "always") != "never"
                    is_put = is_put and step.get("add_prefix_space", True)
                    steps = steps._replace(prefix=is_put, is_split=step.get("split", True))
                case _:
                    what = f"the tokenizer has the step {str(step)[:80]}"
                    raise ConfigError(f"{what}, which llama.cpp's {name} has not.")
    return steps._replace(prefix=steps.prefix or "lead" in tokenizer.extra)


def _scored_fields(
    tokenizer: ImportedTokenizer, pieces: Sequence[ScoredPiece], size: int, steps: SpaceSteps
) -> Fields:
    """What SentencePiece's two kinds share; user-defined pieces are written with their spaces."""
    if steps.is_split and any(
        SPACE_MARK in piece.text[1:] for piece in pieces if piece.kind == NORMAL
    ):
        raise ConfigError("the tokenizer cuts text at spaces and has pieces that cross them.")
    shown = [
        each._replace(text=each.text.replace(SPACE_MARK, " "))
        if each.kind == USER_DEFINED else each for each in pieces
    ]  # fmt: skip
    unknown = [id for id, each in enumerate(pieces) if each.kind == UNKNOWN]
    scores = np.zeros(size, np.float32)
    scores[: len(pieces)] = [each.score for each in pieces[:size]]
    return {
        "pre": "default", **_token_fields(shown, size), "scores": scores,
        "add_bos_token": bool(tokenizer.frame.before),
        "add_eos_token": bool(tokenizer.frame.after), "add_space_prefix": steps.prefix,
        **({"unknown_token_id": unknown[0]} if unknown else {}),  # settings need not name it
    }  # fmt: skip


def _merged_fields(tokenizer: ImportedTokenizer, size: int) -> Fields:
    steps, model = _space_steps(tokenizer), tokenizer.content["model"]
    more = [key for key in ("ignore_merges", "continuing_subword_prefix", "end_of_word_suffix")
            if model.get(key)]  # fmt: skip
    if steps.squeezed or steps.charsmap or more:
        what = more[0] if more else "normalisation or collapsed spaces"
        raise ConfigError(f"the tokenizer is BPE with {what}, which llama.cpp has not.")
    own = [ScoredPiece(*row) for row in tokenizer.extra.get("pieces", ())]
    pieces = _typed_pieces(tokenizer, own or scored_pieces(tokenizer.content))
    if not has_all_bytes(pieces):
        what = "the tokenizer is BPE without ByteLevel and without a piece of every byte"
        raise ConfigError(f"{what}; llama.cpp needs the one or the other.")
    scores = mergeable_scores(pieces)
    unused = [piece.text for piece in pieces if piece.kind == UNUSED]
    if wrong := next((text for text in unused if list_splits(text, scores)), None):
        raise ConfigError(f"the tokenizer has the unused piece {wrong!r}; llama.cpp would use it.")
    if not own:
        order = sorted(scores, key=lambda text: -scores[text])
        scores = {text: -float(place) for place, text in enumerate(order)}
        _check_merges(model, scores)
    last = min(scores.values(), default=0.0) - 1.0  # llama.cpp merges special tokens too
    pieces = [piece._replace(score=scores.get(piece.text, last)) for piece in pieces]
    return {"model": "llama", **_scored_fields(tokenizer, pieces, size, steps)}


def _check_merges(model: Mapping[str, Any], scores: Mapping[str, float]) -> None:
    """Raise ConfigError naming a piece that the merges and the scores form of other pieces."""
    known, vocab = scores.keys(), {text: id for id, text in enumerate(scores)}
    listed = [pair for pair in merges_of(model) if {*pair, "".join(pair)} <= known]
    found = []
    for merges in (listed, merges_from_scores(scores)):
        merger = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges))
        found.append([each.ids for each in merger.encode_batch_fast([*scores])])
    pairs = zip(scores, *found, strict=True)
    wrong = next((text for text, listed_ids, scored_ids in pairs if listed_ids != scored_ids), None)
    if wrong is not None:
        what = f"the merges of the tokenizer cut {wrong[:40]!r} as no scores do"
        raise ConfigError(f"{what}, and llama.cpp has scores alone.")


def _unigram_fields(tokenizer: ImportedTokenizer, size: int) -> Fields:
    steps = _space_steps(tokenizer)
    if _has_step(tokenizer, "pre_tokenizer", "WhitespaceSplit") and not steps.charsmap:
        raise ConfigError("the tokenizer cuts text also at line breaks; llama.cpp's t5 at spaces.")
    pieces = _typed_pieces(tokenizer, scored_pieces(tokenizer.content))
    fields = _scored_fields(tokenizer, pieces, size, steps)
    fields |= {"remove_extra_whitespaces": steps.squeezed}
    charsmap = np.frombuffer(steps.charsmap, np.uint8)
    return {"model": "t5", **fields} | ({"precompiled_charsmap": charsmap} if len(charsmap) else {})


def _wordpiece_fields(tokenizer: ImportedTokenizer, size: int) -> Fields:
    model, steps = tokenizer.content["model"], {}
    for name in ("normalizer", "pre_tokenizer"):
        steps |= {step["type"]: step for step in flatten_steps(tokenizer.content, name)}
    rules = steps.get("BertNormalizer", {})
    is_known = steps.keys() == {"BertNormalizer", "BertPreTokenizer"}
    if not is_known or not rules["clean_text"] or not rules["handle_chinese_chars"] or (
        model.get("continuing_subword_prefix") != "##"
    ):  # fmt: skip
        what = f"the tokenizer is WordPiece with the steps {', '.join(steps) or 'none'}"
        raise ConfigError(f"{what}; llama.cpp has those of BERT, with ## inside words.")
    pieces = _plain_pieces(tokenizer)
    for id, piece in enumerate(pieces):
        if piece.kind == NORMAL and piece.text:
            text = piece.text.removeprefix("##")
            pieces[id] = piece._replace(text=text if text != piece.text else SPACE_MARK + text)
        elif piece.kind == UNKNOWN:
            pieces[id] = piece._replace(kind=CONTROL)
    is_lower, strips = rules["lowercase"], rules.get("strip_accents")
    cases = {"lowercase": is_lower, "strip_accents": is_lower if strips is None else strips}
    other = {f"normalizer.{key}": value for key, value in cases.items() if not all(cases.values())}
    return {"model": "bert", **_token_fields(pieces, size), **other}
