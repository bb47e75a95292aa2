"""Pieces with scores, as in SentencePiece and tiktoken, and the equivalent merges.

SentencePiece merges the two neighbours that form the piece with the highest score, the leftmost on
ties; `tokenizers` merges those whose merge comes first in a list. The equivalent list has, by
descending score, every split of a piece into two pieces:

    in 5   th 4   ing 3   and single characters       ->       i n   t h   in g

Only one split of a piece ever applies: as long as nothing crosses the boundaries of a span of text,
merging inside the span is independent of the rest, so the two halves of a piece are always the
same. The order is then that of the scores and equals SentencePiece's if no two mergeable pieces
have equal scores. Llama's and Mistral's runs of spaces do: a run longer than the longest of them is
segmented by `ScoreMerger`, as is every text if the vocabulary was extended by hand or has
intermediate pieces (`unused`).

Source: Kudo and Richardson 2018, arXiv:1808.06226.
"""

from collections.abc import Container, Mapping, Sequence
from heapq import heappop, heappush
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import tokenizers

from groundup.core import DataError

from .spelling import SPACE_MARK


class ScoredPiece(NamedTuple):
    """One piece of a vocabulary; its id is its index."""

    text: str
    score: float = 0.0
    kind: int = 1
    """SentencePiece's type number: one of those below."""


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
MAX_PIECE_LENGTH = 1024
"""Maximum characters of a piece: the splits of a longer one would take minutes."""
MAX_TIED_RUN = 64
"""Maximum length of a run with tied scores whose merges are checked."""
MERGEABLE_KINDS = (NORMAL, UNUSED)
"""Types that result from merging; others are matched first or never result from text."""


def _split_pairs(text: str, known: Container[str]) -> list[tuple[str, str]]:
    """All splits of a text into two known pieces.

    >>> _split_pairs("abc", {"a", "ab", "c", "bc"})
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
    return [pair for text in ordered for pair in _split_pairs(text, scores)]


class ScoreMerger:
    """SentencePiece's merge rule: the reference, and the fallback where merges are not equivalent.

    `run` is a run of one character that merges get wrong; empty if any text may be affected.

    >>> pieces = [ScoredPiece("a"), ScoredPiece("b"), ScoredPiece("ab", -1), ScoredPiece("ba", -1)]
    >>> ScoreMerger(pieces).segment("abab")
    ['ab', 'ab']
    """

    def __init__(self, pieces: Sequence[ScoredPiece], run: str = "") -> None:
        self.pieces = tuple(pieces)
        self.scores = mergeable_scores(pieces)
        self.unused = {piece.text for piece in pieces if piece.kind == UNUSED}
        self.run = run
        is_fallback = sum(piece.kind == BYTE for piece in pieces) == 256
        is_inside = any("\n" in text for text in self.scores if len(text) > 1)
        self.cuts_lines = is_fallback and not is_inside

    def is_needed(self, text: str) -> bool:
        """Whether merges may get an unmarked text wrong."""
        return self.run in SPACE_MARK + text.replace(" ", SPACE_MARK)

    def segment(self, text: str) -> list[str]:
        """Segment a text into pieces; unknown characters are grouped."""
        symbols, halves = list[str | None](text), dict[str, tuple[str, str]]()
        after, before = list(range(1, len(text) + 1)), list(range(-1, len(text) - 1))
        heap: list[tuple[float, int, str]] = []

        def offer(left: int, right: int) -> None:
            if left < 0 or right >= len(symbols):
                return
            first, second = symbols[left], symbols[right]
            if first is not None and second is not None and first + second in self.scores:
                halves[first + second] = (first, second)
                heappush(heap, (-self.scores[first + second], left, first + second))

        for left, right in pairwise(range(len(text))):
            offer(left, right)
        while heap:
            _, left, joined = heappop(heap)
            right = after[left]
            # The neighbours have been merged with something else in the meantime.
            if symbols[left] is None or right >= len(symbols):
                continue
            if f"{symbols[left]}{symbols[right]}" != joined:
                continue
            symbols[left], symbols[right] = joined, None
            after[left] = after[right]
            if after[right] < len(symbols):
                before[after[right]] = left
            offer(before[left], left)
            offer(left, after[left])
        kept = [symbol for symbol in symbols if symbol is not None]
        return self.group_unknown(
            [part for symbol in kept for part in self.usable_pieces(symbol, halves)]
        )

    def usable_pieces(self, symbol: str, halves: Mapping[str, tuple[str, str]]) -> list[str]:
        """A piece, or the usable pieces from which it was merged."""
        if symbol not in self.unused or symbol not in halves:
            return [symbol]
        return [part for half in halves[symbol] for part in self.usable_pieces(half, halves)]

    def group_unknown(self, symbols: Sequence[str]) -> list[str]:
        """Group neighbouring characters that are no pieces."""
        groups: list[str] = []
        was_unknown = False
        for symbol in symbols:
            is_unknown = symbol not in self.scores
            if is_unknown and was_unknown:
                groups[-1] += symbol
            else:
                groups.append(symbol)
            was_unknown = is_unknown
        return groups

    def pre_tokenize(self, text: Any) -> None:  # the library's class for this has no name
        """Segment for `tokenizers`, whose model then only looks pieces up."""
        text.split(self.split)

    def split(
        self, place: int, text: tokenizers.NormalizedString
    ) -> list[tokenizers.NormalizedString]:
        """The pieces between two added tokens, with their offsets in the text."""
        ends = accumulate(map(len, self.spans_to_segment(str(text.normalized))), initial=0)
        slices = (text[start:end] for start, end in pairwise(ends))
        return [piece for piece in slices if piece is not None]

    def spans_to_segment(self, text: str) -> list[str]:
        """Split into pieces where merges may be wrong and complete lines where they are right."""
        lines = text.splitlines(keepends=True) if self.cuts_lines and "\r" not in text else [text]
        match = [""]
        for line in lines:
            if self.run in line:
                match += [*self.segment(line), ""]
            else:
                match[-1] += line
        return [stretch for stretch in match if stretch]


def mergeable_scores(pieces: Sequence[ScoredPiece]) -> dict[str, float]:
    """Scores of the pieces that result from merging."""
    return {piece.text: piece.score for piece in pieces if piece.kind in MERGEABLE_KINDS}


def make_score_merger(pieces: Sequence[ScoredPiece]) -> ScoreMerger | None:
    """The segmenter where merges are not equivalent to scores; None if they always are.

    >>> make_score_merger([ScoredPiece("a"), ScoredPiece("b"), ScoredPiece("ab", -1)]) is None
    True
    """
    scores = mergeable_scores(pieces)
    by_score: dict[float, list[str]] = {}
    for text, score in scores.items():
        if len(text) > 1 and _split_pairs(text, scores):
            by_score.setdefault(score, []).append(text)
    tied = [text for texts in by_score.values() if len(texts) > 1 for text in texts]
    if any(piece.kind == UNUSED for piece in pieces):
        return ScoreMerger(pieces)
    if not tied:
        return None
    return ScoreMerger(pieces, _find_wrong_run(tied, scores))


def _find_wrong_run(tied: Sequence[str], scores: Mapping[str, float]) -> str:
    """The shortest run of a character that merges get wrong, if nothing else is tied; otherwise "".

    The runs must be merged last, so that they never meet other pieces.
    """
    character, longest = tied[0][0], max(map(len, tied))
    runs = {text: score for text, score in scores.items() if set(text) == {character}}
    others = {text: score for text, score in scores.items() if text not in runs}
    if longest > MAX_TIED_RUN or any(text not in runs for text in tied):
        return ""
    highest = max(score for text, score in runs.items() if len(text) > 1)
    lowest = min((score for text, score in others.items() if len(text) > 1), default=highest + 1)
    if highest >= lowest or any(character * 2 in text for text in others):
        return ""
    by_score, ranks = ScoreMerger([ScoredPiece(*row) for row in runs.items()]), dict[Any, int]()
    for pair in merges_from_scores(runs):
        ranks.setdefault(pair, len(ranks))
    lengths = range(2, longest + 1)
    wrong = (
        n for n in lengths if by_score.segment(character * n) != _apply_merges(character * n, ranks)
    )
    return character * next(wrong, longest + 1)


def _apply_merges(text: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Apply merges to a text, earliest in the list first, from left to right."""
    symbols = list(text)
    while True:
        known = [(ranks[pair], at) for at, pair in enumerate(pairwise(symbols)) if pair in ranks]
        if not known:
            return symbols
        _, at = min(known)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
