"""sentencepiece.py: the ids of the fixtures, ranges, and files that are damaged."""

import random
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ArtifactError, DataError, MissingExtra
from groundup.tokenizer import load_tokenizer, save_imported
from groundup.tokenizer.imported.pieces import (
    BYTE,
    CONTROL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    ScoredPiece,
    sentencepiece_messages,
)
from groundup.tokenizer.imported.sentencepiece import (
    SentencePieceModel,
    _parse_model,
    tokenizer_from_model,
)
from groundup.tokenizer.imported.tokenizer import ImportedTokenizer
from tests.tokenizer.imported.fixtures import MODELS, ids_of, imported, lines, model_bytes, small


@pytest.mark.parametrize("name", MODELS)
def test_ids_are_those_of_sentencepiece(name):
    tokenizer = small(name)
    for text, expected in zip(lines(), ids_of(name), strict=True):
        assert tokenizer.encode(text) == expected, text


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_has_the_ids_of_its_texts(name):
    tokenizer = small(name)
    assert tokenizer.encode_batch(lines()) == [tokenizer.encode(text) for text in lines()]


@pytest.mark.parametrize("name", ["llama", "gemma", "tied"])
def test_every_line_comes_back_but_for_the_mark_of_a_space(name):
    tokenizer = small(name)
    assert tokenizer.loss_reason.code == "mark"
    for text in lines():
        assert tokenizer.decode(tokenizer.encode(text)) == text.replace("\u2581", " ")


def test_what_a_model_says():
    model = _parse_model(model_bytes("t5"))
    assert (model.kind, model.adds_prefix_space, model.collapses_spaces) == ("unigram", True, True)
    assert (model.bos, model.eos, model.pad) == (-1, 1, 0) and len(model.charsmap) > 100_000
    assert small("t5").loss_reason.code == "normalised"


def test_opened_from_a_file_it_puts_around_a_text_what_its_kind_does(tmp_path: Path):
    for name, frame in (("llama", ((1,), ())), ("t5", ((), (1,)))):
        (tmp_path / f"{name}.model").write_bytes(model_bytes(name))
        found = load_tokenizer(tmp_path / f"{name}.model")
        assert (found.frame.before, found.frame.after) == frame
        assert found.digest == small(name).digest


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_value_error(data):
    try:
        _parse_model(data)
    except ValueError as error:
        assert str(error)


def tiny() -> bytes:
    """A model of twelve pieces, written field by field."""

    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    kinds = {"<unk>": 2, "<s>": 3, "\u2581\u2581": 4}
    pieces = b"".join(
        field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", -place)
              + bytes([3 << 3, kinds.get(text, 1)]))
        for place, text in enumerate([*kinds, *"abct\u2581", "at", "cat", "\u2581c"])
    )  # fmt: skip
    return pieces + field(2, b"\x18\x02") + field(3, field(1, b"identity") + b"\x18\x00\x20\x00")


def test_a_model_written_by_hand():
    assert _parse_model(tiny()).kind == "bpe" and not _parse_model(tiny()).adds_prefix_space
    tokenizer = tokenizer_from_model(_parse_model(tiny()))
    assert [tokenizer.names[id] for id in tokenizer.encode("cat  ax")] == [
        "cat", "\u2581\u2581", "a", "<unk>"
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"charsmap": b""}, {"collapses_spaces": False}])
def test_a_piece_that_normalising_makes_nothing_of_is_found_in_the_text_as_it_is(change):
    charsmap = _parse_model(model_bytes("t5")).charsmap
    pieces = [
        ScoredPiece("<unk>", 0, 2),
        ScoredPiece("a"),
        ScoredPiece(" ", 0, 4),
        ScoredPiece("\x01", 0, 4),
    ]
    model = SentencePieceModel(pieces, "bpe", adds_prefix_space=False, charsmap=charsmap)._replace(
        **change
    )
    found = tokenizer_from_model(model)
    assert found.encode("a\x01a") == [1, 3, 1]
    assert ImportedTokenizer(found.content).added == found.added  # as others read what is written


def test_two_thousand_mutations_end_in_an_error_or_a_tokenizer(tmp_path: Path):
    pick, whole = random.Random(0), tiny()
    file, outcomes = tmp_path / "x.model", set()
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(pick.randint(1, 4)):
            data[pick.randrange(len(data))] = pick.randrange(256)
        data = data[: pick.randint(1, len(data))] if pick.random() < 0.3 else data
        try:
            model = _parse_model(bytes(data))
            if pick.random() < 0.2:  # slower than reading
                tokenizer_from_model(model)
            outcomes.add("tokenizer")
        except (ValueError, DataError) as error:
            outcomes.add(type(error).__name__)
    assert {"tokenizer", "ValueError"} <= outcomes
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="no complete SentencePiece model|no piece for unknown"):
        load_tokenizer(file)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            SentencePieceModel([ScoredPiece("<unk>", 0, 2), ScoredPiece("a")], "word"),
            "kind word; expected bpe or unigram",
        ),
        (
            SentencePieceModel([ScoredPiece("a"), ScoredPiece("a")], "bpe"),
            "'a' is in the vocabulary twice",
        ),
        (
            SentencePieceModel([ScoredPiece("a"), ScoredPiece("<0x00>", 0, BYTE)], "bpe"),
            "not all 256 bytes",
        ),
        (
            SentencePieceModel([ScoredPiece("u", 0, 2), ScoredPiece("a", 0, UNUSED)], "unigram"),
            "unused pieces",
        ),
        (
            SentencePieceModel([ScoredPiece("u", 0, 2), ScoredPiece("a" * 2**20)], "bpe"),
            "has 1048576 characters",
        ),
    ],
)
def test_what_is_no_model_is_an_error(model, message):
    with pytest.raises(DataError, match=message):
        tokenizer_from_model(model)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufb01\u0301 x", "\u2581fi\u0301\u2581x"),
        ("\uff10\u0301", "\u25810\u0301"),
        ("  a \xb4\t\n b  ", "\u2581a\u2581\u0301\u2581b"),
        ("   ", ""),
    ],
)
def test_a_text_is_normalised_from_the_left_not_by_graphemes(text, expected):
    known = map(ScoredPiece, dict.fromkeys("\u2581" + expected))
    pieces = [ScoredPiece("<unk>", 0, UNKNOWN), *known]
    charsmap = _parse_model(model_bytes("t5")).charsmap
    tokenizer = tokenizer_from_model(SentencePieceModel(pieces, "bpe", charsmap=charsmap))
    assert "".join(tokenizer.names[id] for id in tokenizer.encode(text)) == expected


USER_PIECES = ("<x>", "  ", "\n")


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


def test_damaged_charsmaps_end_in_an_error():
    model = _parse_model(model_bytes("t5"))
    pick, whole = random.Random(0), model.charsmap
    for _ in range(20):
        data = bytearray(whole)
        for _ in range(300):
            data[pick.randrange(len(data))] = pick.randrange(256)
        data[:4] = whole[:4]
        with pytest.raises(DataError, match="precompiled_charsmap is invalid"):
            tokenizer_from_model(model._replace(charsmap=bytes(data)))
    with pytest.raises(DataError, match="sentencepiece says of the model"):
        tokenizer_from_model(model._replace(charsmap=b"rule\0\0\0"))


def test_a_missing_library_is_an_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    sentencepiece_messages.cache_clear()
    with pytest.raises(MissingExtra, match="pip install 'groundup.sentencepiece.'"):
        _parse_model(tiny())
