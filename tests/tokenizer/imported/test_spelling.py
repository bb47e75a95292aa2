"""spelling.py: the bytes of tokens, and why some texts do not come back."""

import pytest

from groundup.tokenizer.bpe import byte_to_character
from groundup.tokenizer.imported.spelling import TokenBytes, flatten_steps, loss_reason, token_bytes

LEVEL = {"decoder": {"type": "ByteLevel"}, "added_tokens": []}
ALL = TokenBytes({byte: bytes([byte]) for byte in range(256)}, False)


def test_byte_level_tokens_are_their_bytes():
    shown = byte_to_character()
    tokens = {byte: shown[byte] for byte in range(256)} | {256: "Ġna", 257: "日"}
    found = token_bytes(LEVEL, tokens, {300: "<｜end▁of▁sentence｜>"})
    assert found is not None and not found.drops_space
    assert all(found.bytes_of[byte] == bytes([byte]) for byte in range(256))
    assert found.bytes_of[256] == b" na" and found.bytes_of[257] == "日".encode()
    assert found.bytes_of[300].decode() == "<｜end▁of▁sentence｜>"


def test_marks_are_spaces_but_not_in_special_tokens():
    decoder = {"type": "Sequence", "decoders": [
        {"type": "Replace"}, {"type": "ByteFallback"}, {"type": "Strip", "start": 1}]}  # fmt: skip
    marked = [{"id": 2, "special": True}, {"id": 3, "special": False}]
    content = {"decoder": decoder, "added_tokens": marked}
    found = token_bytes(content, {0: "\u2581a", 1: "<0xFF>"}, {2: "<\u2581>", 3: "\u2581\u2581"})
    assert found == TokenBytes({0: b" a", 1: b"\xff", 2: "<\u2581>".encode(), 3: b"  "}, True)


@pytest.mark.parametrize("decoder", [None, {"type": "WordPiece"}, {"type": "BPEDecoder"}])
def test_other_tokens_have_no_bytes_of_their_own(decoder):
    assert token_bytes({"decoder": decoder, "added_tokens": []}, {0: "a"}, {}) is None


@pytest.mark.parametrize(
    ("content", "spelt", "code"),
    [
        ({"pre_tokenizer": {"type": "ByteLevel"}}, ALL, None),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, ALL, "prefix"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, TokenBytes({}, False), "unknown"),
        ({"normalizer": {"type": "Prepend"}}, ALL, "mark"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}}, ALL, "normalised"),
        ({"model": {"type": "WordPiece"}}, None, "words"),
    ],
)
def test_what_is_lost_has_a_reason(content, spelt, code):
    found = loss_reason(content, spelt)
    assert (found and found.code) == code


def test_steps_inside_steps_are_found():
    inner = {"type": "Sequence", "decoders": [{"type": "A"}, {"type": "B"}]}
    outer = {"decoder": {"type": "Sequence", "decoders": [inner, {"type": "C"}]}}
    assert [step["type"] for step in flatten_steps(outer, "decoder")] == ["A", "B", "C"]
    assert list(flatten_steps({"decoder": None}, "decoder")) == []
