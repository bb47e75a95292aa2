"""Pieces with scores, as in SentencePiece and tiktoken: the equivalent merges, and the library.

SentencePiece merges the two neighbours that form the piece with the highest score, the leftmost on
ties; `tokenizers` merges those whose merge comes first in a list. The equivalent list has, by
descending score, every split of a piece into two pieces:

    in 5   th 4   ing 3   and single characters       ->       i n   t h   in g

Only one split of a piece ever applies: as long as nothing crosses the boundaries of a span of text,
merging inside the span is independent of the rest, so the two halves of a piece are always the
same. The order is then that of the scores and equals SentencePiece's if no two mergeable pieces
have equal scores. Llama's and Mistral's runs of spaces do. Those models, and others that
tokenizer.json cannot express (normalisation, which `tokenizers` applies per grapheme; user-defined
pieces after a prefix space; intermediate pieces), are encoded by the library sentencepiece.

Source: Kudo and Richardson 2018, arXiv:1808.06226.
"""

import base64
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise
from types import ModuleType
from typing import Any, NamedTuple

from groundup.core import DataError, MissingExtra

from .spelling import BYTE as BYTE_TEXT
from .spelling import flatten_steps


class ScoredPiece(NamedTuple):
    """One piece of a vocabulary; its id is its index."""

    text: str
    score: float = 0.0
    kind: int = 1
    """SentencePiece's type number: one of those below."""


class AlignedIds(NamedTuple):
    """Ids and their character ranges."""

    ids: list[int]
    places: list[tuple[int, int]]


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
UNIGRAM, BPE = 1, 2
MAX_PIECE_LENGTH = 1024
"""Maximum characters of a piece: the splits of a longer one would take minutes."""
MERGEABLE_KINDS = (NORMAL, UNUSED)
"""Types that result from merging; others are matched first or never result from text."""
NO_TEXT = "\ue000unknown"
"""Text of the unknown piece that the library asks for, where all bytes are known."""


@cache
def sentencepiece_messages() -> ModuleType:
    """The library's messages; MissingExtra without it."""
    try:
        from sentencepiece import sentencepiece_model_pb2
    except ImportError:
        raise MissingExtra("sentencepiece", "sentencepiece") from None
    return sentencepiece_model_pb2


def list_splits(text: str, known: Container[str]) -> list[tuple[str, str]]:
    """All splits of a text into two known pieces.

    >>> list_splits("abc", {"a", "ab", "c", "bc"})
    [('a', 'bc'), ('ab', 'c')]
    """
    halves = ((text[:place], text[place:]) for place in range(1, len(text)))
    return [(left, right) for left, right in halves if left in known and right in known]


def merges_from_scores(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """The merges equivalent to these scores (see the module); DataError for a giant piece.

    >>> merges_from_scores({"a": 0, "b": 0, "c": 0, "ab": -1, "abc": -3, "bc": -2})
    [('a', 'b'), ('b', 'c'), ('a', 'bc'), ('ab', 'c')]
    """
    giant = next((text for text in scores if len(text) > MAX_PIECE_LENGTH), None)
    if giant is not None:
        raise DataError(
            f"A piece has {len(giant)} characters; expected {MAX_PIECE_LENGTH} at most."
        )
    ordered = sorted(scores, key=lambda text: -scores[text])
    return [pair for text in ordered for pair in list_splits(text, scores)]


def ranks_from_merges(merges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The place in the list of the one merge that forms each piece (see the module).

    Converters list all splits of a piece, but among those of pieces with the same score.

    >>> ranks_from_merges([("aaa", "a"), ("a", "a"), ("aa", "aa"), ("aa", "a")])
    {'aaaa': 2, 'aa': 1, 'aaa': 3}
    """
    places = {pair: place for place, pair in enumerate(merges)}
    ranks = {"".join(pair): place for place, pair in reversed([*enumerate(merges)])}
    runs = Counter(text for text, _ in groupby(map("".join, merges)))
    scattered = {text: _last_merge(text, places) for text, count in runs.items() if count > 1}
    return {text: scattered.get(text, ranks[text]) for text in runs}


def _last_merge(text: str, places: Mapping[tuple[str, str], int]) -> int:
    """The place of the last merge of a text; past all of them if nothing merges."""
    parts, last = list(text), len(places)
    while mergeable := [
        (places[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in places
    ]:
        last, at = min(mergeable)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return last


def mergeable_scores(pieces: Sequence[ScoredPiece]) -> dict[str, float]:
    """Scores of the pieces that result from merging."""
    return {piece.text: piece.score for piece in pieces if piece.kind in MERGEABLE_KINDS}


def has_all_bytes(pieces: Sequence[ScoredPiece]) -> bool:
    """Whether there is a piece of every byte, or, as Gemma 2 has a tab, of its character."""
    bytes_of = {piece.text for piece in pieces if piece.kind == BYTE}
    characters = {piece.text for piece in pieces if len(piece.text) == 1}
    return bool(bytes_of) and all(
        f"<0x{byte:02X}>" in bytes_of or (byte < 128 and chr(byte) in characters)
        for byte in range(256)
    )


def merges_differ(pieces: Sequence[ScoredPiece]) -> bool:
    """Whether merges may not say what scores do: pieces are tied or unused.

    >>> merges_differ([ScoredPiece("a"), ScoredPiece("b"), ScoredPiece("ab", -1)])
    False
    """
    scores = mergeable_scores(pieces)
    merged = [score for text, score in scores.items() if list_splits(text, scores)]
    return len({*merged}) < len(merged) or any(piece.kind == UNUSED for piece in pieces)


class PieceEncoder:
    """Encodes by the library sentencepiece what a tokenizer.json cannot express.

    content  value of tokenizer.json
    extra    value of pieces.json: any of `lead`, `pieces` (text, score, kind) and `normaliser`

    Raises DataError for a damaged model.
    """

    def __init__(self, content: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        self.lead = str(extra.get("lead", ""))
        self.normalises = extra.get("normaliser") is not None
        self.pieces = [
            ScoredPiece(str(text), float(score), int(kind))
            for text, score, kind in extra.get("pieces", ())
        ]
        message = _model_message(content, extra, self.pieces or scored_pieces(content))
        import sentencepiece

        try:
            self._processor = sentencepiece.SentencePieceProcessor(
                model_proto=message.SerializeToString()
            )
        except RuntimeError as error:
            raise DataError(
                f"sentencepiece says of the model: {str(error)[:200]}; get it again."
            ) from None

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, in order, on all cores."""
        return self._processor.encode(list(texts), num_threads=-1) if texts else []

    def encode_with_ranges(self, text: str) -> AlignedIds:
        """Ids and character ranges, without gaps."""
        found = self._processor.encode(text, return_type="offset_mapping")
        return AlignedIds(found["ids"], found["offsets"])


def merges_of(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges of a BPE model, which files write as pairs or as texts."""
    pairs = (each.split(" ", 1) if isinstance(each, str) else each for each in model["merges"])
    return [(left, right) for left, right in pairs]


def scored_pieces(content: Mapping[str, Any]) -> list[ScoredPiece]:
    """The pieces of a tokenizer.json; those of merges have scores that merge alike."""
    model = content["model"]
    if isinstance(model["vocab"], list):
        unknown = model["unk_id"]
        return [
            ScoredPiece(text, score, UNKNOWN if id == unknown else NORMAL)
            for id, (text, score) in enumerate(model["vocab"])
        ]
    ranks = ranks_from_merges(merges_of(model))
    last = len(model["merges"])
    pieces = [ScoredPiece("", 0, CONTROL)] * (max(model["vocab"].values(), default=-1) + 1)
    for text, id in model["vocab"].items():
        kind = UNKNOWN if text == model.get("unk_token") else NORMAL
        pieces[id] = ScoredPiece(text, -float(ranks.get(text, last)), kind)
    return pieces


def _model_message(
    content: Mapping[str, Any], extra: Mapping[str, Any], pieces: Sequence[ScoredPiece]
) -> Any:
    """SentencePiece's message of a tokenizer.json and its pieces.json.

    Special tokens become control pieces, which no text contains.
    """
    message, rules = sentencepiece_messages().ModelProto(), extra.get("normaliser")
    special = {token["id"]: token["special"] for token in content["added_tokens"]}
    has_bytes = bool(content["model"].get("byte_fallback"))
    for id, (text, score, kind) in enumerate(pieces):
        if kind != UNKNOWN and id in special:
            kind = CONTROL if special[id] else USER_DEFINED
        elif kind in (NORMAL, BYTE) and BYTE_TEXT.fullmatch(text):
            kind = BYTE if has_bytes else CONTROL
        message.pieces.add(piece=text, score=score, type=kind)
    if not any(piece.kind == UNKNOWN for piece in pieces):
        message.pieces.add(piece=NO_TEXT, type=UNKNOWN)
    message.trainer_spec.model_type = (
        UNIGRAM if isinstance(content["model"]["vocab"], list) else BPE
    )
    message.trainer_spec.byte_fallback = has_bytes
    spec, steps = message.normalizer_spec, flatten_steps(content, "normalizer")
    if rules is None:
        spec.add_dummy_prefix = "lead" in extra or any(step["type"] == "Prepend" for step in steps)
        spec.remove_extra_whitespaces = False
    else:
        spec.add_dummy_prefix = bool(rules["prefix"])
        spec.remove_extra_whitespaces = bool(rules["squeezed"])
        spec.precompiled_charsmap = base64.b64decode(rules["charsmap"])
    return message
