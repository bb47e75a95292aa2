"""pieces.py: SentencePiece's rule, written out plainly, against the cutter and against merges."""

import random
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.models import BPE

from groundup.tokenizer.imported.pieces import (
    UNUSED,
    ScoredPiece,
    ScoreMerger,
    make_score_merger,
    mergeable_scores,
    merges_from_scores,
)
from tests.tokenizer.imported.fixtures import model_bytes, small

RUN = "\u2581"


def plainly(scores: dict[str, float], text: str) -> list[str]:
    """Join the best neighbours, the leftmost of equal ones, until there are none."""
    symbols = list(text)
    while True:
        pairs = enumerate(pairwise(symbols))
        known = [(-scores[a + b], place) for place, (a, b) in pairs if a + b in scores]
        if not known:
            return symbols
        _, place = min(known)
        symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]


@st.composite
def vocabularies(draw, tied: bool) -> list[ScoredPiece]:
    """Letters and words of them, every score different or few different ones."""
    words = draw(st.lists(st.text("abc", min_size=2, max_size=5), unique=True, max_size=25))
    texts = draw(st.permutations([*"abc", *words]))
    scores = st.integers(-4, 0)
    return [
        ScoredPiece(text, float(draw(scores)) if tied else -float(place))
        for place, text in enumerate(texts)
    ]


@given(vocabularies(tied=True), st.text("abcd", max_size=30))
def test_the_cutter_follows_the_rule(pieces, text):
    scores = mergeable_scores(pieces)
    found = ScoreMerger(pieces).segment(text)
    known = [part for part in found if "d" not in part]
    assert known == [part for part in plainly(scores, text) if part != "d"]
    assert "".join(found) == text


@given(vocabularies(tied=False), st.text("abc", max_size=30))
def test_merges_follow_it_where_no_scores_are_tied(pieces, text):
    assert make_score_merger(pieces) is None
    vocab = {piece.text: id for id, piece in enumerate(pieces)}
    model = tokenizers.Tokenizer(BPE(vocab, merges_from_scores(mergeable_scores(pieces))))
    assert model.encode(text).tokens == plainly(mergeable_scores(pieces), text)


def test_tied_scores_are_where_merges_may_differ():
    pieces = [ScoredPiece(text, -1) for text in ("a", "b", "ab", "ba")]
    assert make_score_merger(pieces) is not None
    model = tokenizers.Tokenizer(
        BPE({"a": 0, "b": 1, "ab": 2, "ba": 3}, merges_from_scores(mergeable_scores(pieces)))
    )
    assert model.encode("bab").tokens == ["b", "ab"] != plainly(mergeable_scores(pieces), "bab")


def spaces(longest: int) -> list[ScoredPiece]:
    """Words, and runs of spaces that all have one score, as in Llama's vocabulary."""
    words = [
        ScoredPiece("a"),
        ScoredPiece("b"),
        ScoredPiece(RUN),
        ScoredPiece("ab", -1),
        ScoredPiece(RUN + "a", -2),
    ]
    return words + [ScoredPiece(RUN * count, -1e9) for count in range(2, longest + 1)]


@pytest.mark.parametrize("longest", [2, 3, 8, 16])
def test_runs_of_spaces_need_the_cutter_only_when_they_are_long(longest):
    cutter = make_score_merger(spaces(longest))
    if longest == 2:  # one run alone ties with nothing
        assert cutter is None
        return
    assert cutter is not None and cutter.run == RUN * (longest + 1)
    assert not cutter.is_needed("a" + " " * (longest - 1) + "b")
    assert cutter.is_needed("a" + " " * (longest + 1) + "b")


def test_a_very_long_tied_run_is_left_to_the_cutter():
    cutter = make_score_merger(spaces(65))
    assert cutter is not None and cutter.run == "" and cutter.is_needed("a")


def test_a_run_that_is_missing_is_found_wrong():
    pieces = [piece for piece in spaces(16) if len(piece.text) not in (5, 7, 11)]
    scores, cutter = mergeable_scores(pieces), make_score_merger(pieces)
    assert cutter is not None and 5 <= len(cutter.run) <= 17
    for count in range(1, 40):
        assert cutter.segment(RUN * count) == plainly(scores, RUN * count)


def test_unused_pieces_are_steps_on_the_way():
    pieces = [*map(ScoredPiece, "abc"), ScoredPiece("ab", -1, UNUSED), ScoredPiece("abc", -2)]
    assert ScoreMerger(pieces).segment("abcab") == ["abc", "a", "b"]


def test_long_text_is_cut_by_lines_and_keeps_its_ids():
    from groundup.tokenizer.imported.sentencepiece import _parse_model, tokenizer_from_model

    plain, pick = _parse_model(model_bytes("llama")), random.Random(1)
    tied = plain._replace(pieces=[
        piece._replace(score=-1e9) if set(piece.text) == {RUN} else piece for piece in plain.pieces
    ])  # fmt: skip
    tokenizer = tokenizer_from_model(tied)
    parts = ["the ", " " * 30, "\n", "def", "é", " " * 3, "x"]
    text = "".join(pick.choices(parts, k=3000))
    whole = ScoreMerger(tied.pieces).segment(RUN + text.replace(" ", RUN))
    names = [tokenizer.names[id] for id in tokenizer.encode(text)]
    known = {piece.text for piece in tied.pieces}
    assert [name for name in names if name[:3] != "<0x"] == [
        part for part in whole if part in known
    ]


def test_text_after_text_is_quick_to_cut():
    text = "return the value " * 3000
    assert "".join(ScoreMerger(parse_pieces("tied")).segment(text)) == text


def parse_pieces(name: str) -> list[ScoredPiece]:
    from groundup.tokenizer.imported.sentencepiece import _parse_model

    assert small(name).cutter is not None
    return _parse_model(model_bytes(name)).pieces
