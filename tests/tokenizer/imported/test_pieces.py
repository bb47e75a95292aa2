"""pieces.py: SentencePiece's rule, written out plainly, against the library and against merges."""

from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.models import BPE

from groundup.tokenizer.imported.pieces import (
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    ScoredPiece,
    mergeable_scores,
    merges_differ,
    merges_from_scores,
)
from groundup.tokenizer.imported.sentencepiece import SentencePieceModel, tokenizer_from_model
from groundup.tokenizer.imported.tokenizer import ImportedTokenizer

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


def encoder(pieces: list[ScoredPiece]) -> ImportedTokenizer:
    """The tokenizer of a model that changes no text."""
    model = SentencePieceModel(pieces, "bpe", adds_prefix_space=False, collapses_spaces=False)
    return tokenizer_from_model(model)


@given(vocabularies(tied=False), st.text("abc", max_size=30))
def test_merges_follow_it_where_no_scores_are_tied(pieces, text):
    assert not merges_differ(pieces)
    vocab = {piece.text: id for id, piece in enumerate(pieces)}
    model = tokenizers.Tokenizer(BPE(vocab, merges_from_scores(mergeable_scores(pieces))))
    assert model.encode(text).tokens == plainly(mergeable_scores(pieces), text)


def test_tied_scores_are_where_merges_may_differ():
    pieces = [ScoredPiece(text, -1) for text in ("a", "b", "ab", "ba")]
    assert merges_differ(pieces)
    model = tokenizers.Tokenizer(
        BPE({"a": 0, "b": 1, "ab": 2, "ba": 3}, merges_from_scores(mergeable_scores(pieces)))
    )
    assert model.encode("bab").tokens == ["b", "ab"] != plainly(mergeable_scores(pieces), "bab")


@given(vocabularies(tied=True), st.text("abcd", max_size=30))
def test_the_library_follows_it_where_scores_are_tied(pieces, text):
    tokenizer = encoder([*pieces, ScoredPiece("<unk>", 0, UNKNOWN)])
    found = [tokenizer.names[id] for id in tokenizer.encode(text)]
    known = [part for part in plainly(mergeable_scores(pieces), text) if part != "d"]
    assert [part for part in found if part != "<unk>"] == known


@pytest.mark.parametrize("longest", [3, 16, 65])
def test_runs_of_spaces_with_one_score_are_joined_from_the_left(longest):
    words = [*map(ScoredPiece, ["a", "b", RUN]), ScoredPiece("ab", -1), ScoredPiece(RUN + "a", -2)]
    runs = [ScoredPiece(RUN * count, -1e9) for count in range(2, longest + 1)]
    pieces = [*words, *runs, ScoredPiece("<unk>", 0, UNKNOWN)]
    assert merges_differ(pieces) and not merges_differ(words + runs[:1])
    scores, tokenizer = mergeable_scores(pieces), encoder(pieces)
    for count in range(1, 3 * longest):
        text = "a" + RUN * count + "b"
        assert [tokenizer.names[id] for id in tokenizer.encode(text)] == plainly(scores, text)


def test_unused_pieces_are_steps_on_the_way():
    pieces = [*map(ScoredPiece, "abc"), ScoredPiece("ab", -1, UNUSED), ScoredPiece("abc", -2)]
    tokenizer = encoder([*pieces, ScoredPiece("<unk>", 0, UNKNOWN)])
    assert [tokenizer.names[id] for id in tokenizer.encode("abcab")] == ["abc", "a", "b"]


def test_what_is_special_by_the_settings_is_not_in_a_text():
    pieces = [
        ScoredPiece("<unk>", 0, UNKNOWN),
        ScoredPiece("<x>", 0, USER_DEFINED),
        *map(ScoredPiece, "<x>"),
    ]
    model = SentencePieceModel(pieces, "bpe", adds_prefix_space=False)
    assert tokenizer_from_model(model).encode("<x>") == [1]
    tokenizer = tokenizer_from_model(model, settings={"extra_special_tokens": ["<x>"]})
    assert tokenizer.encode("<x>") == [2, 3, 4]
    assert tokenizer.encode_rendered("x<x>") == [3, 1]
