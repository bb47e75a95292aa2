"""Read or build the JSON value of a tokenizer.json, the common form of all formats.

It contains only what determines ids and bytes, so no truncation or padding.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.core import ArtifactError

from .pieces import CONTROL, UNKNOWN, USER_DEFINED, ScoredPiece
from .spelling import SPACE_MARK

JsonContent = dict[str, Any]


def read_json_content(file: Path) -> dict[str, Any]:
    """The object in a JSON file; ArtifactError if there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"Cannot read {file} as JSON: {str(error)[:200]}.") from None
    if not isinstance(found, dict):
        raise ArtifactError(f"{file} holds {type(found).__name__}; expected an object.")
    return found


def tokenizer_content(
    model: JsonContent, added: Sequence[JsonContent], steps: Mapping[str, Any]
) -> JsonContent:
    """A tokenizer.json of a model, added tokens and steps (`normalizer`, `decoder`, …)."""
    names = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    known = {name: steps.get(name) for name in names}
    return {"version": "1.0", "added_tokens": list(added), **known, "model": model}


def sequence_step(plural: str, steps: Iterable[JsonContent | None]) -> JsonContent | None:
    """Several steps as a Sequence, one as itself, none as None."""
    found = [step for step in steps if step is not None]
    if len(found) < 2:
        return found[0] if found else None
    return {"type": "Sequence", plural: found}


def added_token(id: int, text: str, special: bool, normalized: bool = False) -> JsonContent:
    """An added token, matched in the original or in the normalised text."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": normalized}
    return {"id": id, "content": text, **flags, "special": special}


def added_tokens(pieces: Sequence[ScoredPiece], *, marked: bool = False) -> list[JsonContent]:
    """The added tokens among the pieces: control pieces are special, user-defined ones are not.

    `marked`: spaces are already marked in the text in which user-defined pieces are searched.
    """
    kinds = {CONTROL: True, UNKNOWN: True, USER_DEFINED: False}
    return [
        added_token(id, piece.text, kinds[piece.kind], marked and piece.kind == USER_DEFINED)
        for id, piece in enumerate(pieces)
        if piece.kind in kinds
    ]


def bpe_model(
    vocab: Mapping[str, int], merges: Iterable[Sequence[str]], *, byte_fallback: bool = False,
    ignore_merges: bool = False, unk_token: str | None = None,
) -> JsonContent:  # fmt: skip
    """A BPE model; neighbouring unknown characters become one `unk_token`."""
    return {
        "type": "BPE", "dropout": None, "unk_token": unk_token, "fuse_unk": unk_token is not None,
        "byte_fallback": byte_fallback, "ignore_merges": ignore_merges, "vocab": dict(vocab),
        "merges": [list(pair) for pair in merges],
    }  # fmt: skip


def special_tokens_processor(
    before: Sequence[tuple[str, int]], after: Sequence[tuple[str, int]]
) -> JsonContent | None:
    """A post-processor that puts special tokens around a text; None if there are none."""
    if not before and not after:
        return None

    def special(name: str) -> JsonContent:
        return {"SpecialToken": {"id": name, "type_id": 0}}

    text = {"Sequence": {"id": "A", "type_id": 0}}
    single = [*(special(n) for n, _ in before), text, *(special(n) for n, _ in after)]
    used = {name: {"id": name, "ids": [id], "tokens": [name]} for name, id in (*before, *after)}
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    steps = {"single": single, "pair": pair, "special_tokens": used}
    return {"type": "TemplateProcessing", **steps}


def byte_level_steps(patterns: Sequence[str]) -> dict[str, JsonContent | None]:
    """Steps of a byte-level model that splits text by these patterns, one after the other."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    splits = [
        {"type": "Split", "pattern": {"Regex": each}, "behavior": "Isolated", "invert": False}
        for each in patterns
    ]
    last = level | {"use_regex": False}
    return {"pre_tokenizer": sequence_step("pretokenizers", [*splits, last]), "decoder": last}


def metaspace_steps(
    *, prefix: bool, is_put_by_caller: bool = False, charsmap: bytes = b"", squeezed: bool = False
) -> dict[str, JsonContent | None]:
    """Steps of a SentencePiece model, whose spaces are marked.

    prefix            whether a space is put before the text
    is_put_by_caller  the caller adds it, because this step would also add it after added tokens
    charsmap          SentencePiece's compiled normalisation; empty changes nothing
    squeezed          spaces at the ends are removed and runs of them collapsed
    """
    mark = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
    compiled = base64.b64encode(charsmap).decode()
    ends = {"type": "Replace", "pattern": {"Regex": "^ +| +$"}, "content": ""}
    runs = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    normaliser = [
        {"type": "Precompiled", "precompiled_charsmap": compiled} if charsmap else None,
        *([ends, runs] if squeezed else []),
        {"type": "Prepend", "prepend": SPACE_MARK} if prefix and not is_put_by_caller else None,
        mark,
    ]
    back = {"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0} if prefix else None
    decoder = [back, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]
    return {
        "normalizer": sequence_step("normalizers", normaliser),
        "decoder": sequence_step("decoders", decoder),
    }
