"""normaliser.py: texts as SentencePiece 0.2.3 changes them, and charsmaps that are damaged."""

import random
from pathlib import Path

import pytest

from groundup.core import DataError
from groundup.tokenizer import load_tokenizer, save_imported
from groundup.tokenizer.imported.normaliser import Normaliser
from groundup.tokenizer.imported.pieces import CONTROL, UNKNOWN, USER_DEFINED, ScoredPiece
from groundup.tokenizer.imported.sentencepiece import (
    SentencePieceModel,
    _parse_model,
    tokenizer_from_model,
)
from tests.tokenizer.imported.fixtures import imported, lines, model_bytes, small

USER_PIECES = ("<x>", "  ", "\n")


def normaliser(protected: tuple[str, ...] = ()) -> Normaliser:
    model = _parse_model(model_bytes("t5"))
    return Normaliser(model.charsmap, prefix=True, squeezed=True, protected=protected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u017f\u0301", "\u2581\u015b"),
        ("\ufb01\u0301 x", "\u2581fi\u0301\u2581x"),
        ("\uff10\u0301", "\u25810\u0301"),
        ("a\u200d b", "\u2581a\u200d\u2581b"),
        ("e\u0301", "\u2581\xe9"),
        ("  a \xb4\t\n b  ", "\u2581a\u2581\u0301\u2581b"),
        ("\u1112\u1161\u11ab\u0301", "\u2581\ud55c\u0301"),
        ("\u2581a\u2581", "\u2581a"),
        ("   ", ""),
    ],
)
def test_a_text_is_changed_as_the_maker_changes_it(text, expected):
    assert normaliser().normalize(text) == normaliser().normalize_aligned(text).text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b\n", "\u2581a\u2581\u2581b\n"),
        ("  a", "\u2581a"),
        ("\n\n", "\u2581\n\n"),
        ("a<x>b", "\u2581a<x>b"),
        ("\r\n", "\u2581\n"),
        (" <x> ", "\u2581<x>"),
    ],
)
def test_user_defined_pieces_stay_as_they_are(text, expected):
    assert normaliser(USER_PIECES).normalize(text) == expected


def test_of_user_defined_pieces_the_longest_is_taken():
    pick = random.Random(0)
    pieces = ["".join(pick.choices("ab<>", k=pick.randrange(1, 6))) for _ in range(40)]
    plain = Normaliser(b"", prefix=False, squeezed=False, protected=pieces)
    for text in ("".join(pick.choices("ab<>c", k=60)) for _ in range(50)):
        place = 0
        for size, shown in plain.steps(text):
            fitting = [one for one in pieces if text.startswith(one, place)]
            assert shown == max(fitting, key=len, default=text[place]) and size == len(shown)
            place += size
        assert place == len(text)


def test_the_quick_way_is_the_one_with_places():
    fast = normaliser()
    for text in lines():
        found = fast.normalize_aligned(text)
        assert found.text == fast.normalize(text)
        assert all(0 <= start <= end <= len(text) for start, end in found.places)
        assert [start for start, _ in found.places] == sorted(start for start, _ in found.places)


def with_user_pieces() -> SentencePieceModel:
    specials = [
        ScoredPiece("<unk>", 0, UNKNOWN),
        ScoredPiece("<s>", 0, CONTROL),
        ScoredPiece("</s>", 0, CONTROL),
    ]
    words = [
        ScoredPiece(text, -place) for place, text in enumerate(["\u2581", *"abcx<>", "\u2581a"])
    ]
    user = [ScoredPiece(text, 0, USER_DEFINED) for text in USER_PIECES]
    return SentencePieceModel(
        [*specials, *user, *words], "bpe", charsmap=_parse_model(model_bytes("t5")).charsmap
    )


def test_plain_text_of_a_model_with_user_defined_line_ends(tmp_path: Path):
    # `tokenizers` finds such a piece, which its own normalisation makes empty, everywhere
    tokenizer = tokenizer_from_model(with_user_pieces())
    text = "a  b\nc<x>a"
    ids = tokenizer.encode(text)
    assert [tokenizer.names[id] for id in ids] == ["\u2581a", "\u2581", "\u2581", "b", "\n", "c",
                                                   "<x>", "a"]  # fmt: skip
    assert tokenizer.offsets(text)[-3:] == [(5, 6), (6, 9), (9, 10)]
    save_imported(tokenizer, tmp_path)
    again = imported(load_tokenizer(tmp_path))
    assert again.encode(text) == ids and again.digest == tokenizer.digest


def test_places_are_those_of_the_text_that_was_given():
    text = "  \ufb01ne e\u0301t\u00e9 "
    tokenizer = small("t5")
    offsets = tokenizer.offsets(text)
    assert offsets[-1][1] <= len(text.encode()) and offsets[0][0] >= 2
    assert all(before[1] <= after[0] for before, after in zip(offsets, offsets[1:], strict=False))


def test_damaged_charsmaps_end_in_an_error_or_a_normaliser():
    pick, whole = random.Random(0), _parse_model(model_bytes("t5")).charsmap
    for _ in range(20):
        data = bytearray(whole)
        for _ in range(300):
            data[pick.randrange(len(data))] = pick.randrange(256)
        data[:4] = whole[:4]
        try:
            assert Normaliser(bytes(data), prefix=True, squeezed=True).normalize(
                "".join(lines()[:40])
            )
        except DataError as error:
            assert "charsmap" in str(error)
    with pytest.raises(DataError, match="its trie has 1701606770 of 7 bytes"):
        Normaliser(b"rule\0\0\0", prefix=True, squeezed=True)
