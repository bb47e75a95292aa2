"""The exact bytes of each token, which `tokenizers` does not report: it decodes to repaired text.

    byte-level      Ġnaà  -> 20 6e 61 c3         a character for every byte (GPT-2, Llama 3, Qwen)
    byte fallback   ▁na   -> 20 6e 61            a mark for the space, <0xC3> for single bytes
    WordPiece       ##ive -> none of its own     words lose the white space between them

Works on the value of a tokenizer.json.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from groundup.core import Reason

from ..bpe import byte_to_character

SPACE_MARK = "\u2581"
"""SentencePiece's mark for a space."""
BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
REVERSIBLE_NORMALISERS = ("Replace", "Prepend", "ByteLevel")
"""Normalisers that decoding reverses."""


class TokenBytes(NamedTuple):
    """The bytes of every token."""

    bytes_of: dict[int, bytes]
    drops_space: bool
    """Whether encoding puts a space before a text that decoding removes."""


def flatten_steps(content: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the steps of a normaliser, pre-tokenizer, decoder or post-processor, nested or not.

    >>> [step["type"] for step in flatten_steps({"decoder": {"type": "Sequence", "decoders": [
    ...     {"type": "Fuse"}]}}, "decoder")]
    ['Fuse']
    """
    step = content.get(name)
    if not isinstance(step, dict):
        return
    if step.get("type") != "Sequence":
        yield step
        return
    inner = next((value for value in step.values() if isinstance(value, list)), [])
    for each in inner:
        yield from flatten_steps({name: each}, name)


def token_bytes(
    content: Mapping[str, Any], tokens: Mapping[int, str], added: Mapping[int, str]
) -> TokenBytes | None:
    """Bytes of each token, or None if a token has no bytes of its own.

    `tokens` are the model's by id, `added` the added ones. Of the latter only a special one may
    contain SentencePiece's mark literally.
    """
    decoders = list(flatten_steps(content, "decoder"))
    kinds = {step["type"] for step in decoders}
    as_they_are = {id: text.encode() for id, text in added.items()}
    special = {token["id"] for token in content["added_tokens"] if token["special"]}
    if kinds == {"ByteLevel"}:
        known = {character: byte for byte, character in byte_to_character().items()}
        spelt = {id: _byte_level_bytes(text, known) for id, text in tokens.items()}
        return TokenBytes(spelt | as_they_are, False)
    if not kinds <= {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"} or not kinds:
        return None
    is_fallback = "ByteFallback" in kinds
    texts = {**tokens, **added}
    of_marks = {id: _sentencepiece_bytes(text, is_fallback) for id, text in texts.items()}
    of_marks |= {id: as_they_are[id] for id in special}
    return TokenBytes(of_marks, any(map(_decoder_drops_space, decoders)))


def _byte_level_bytes(text: str, known: Mapping[str, int]) -> bytes:
    try:
        return bytes(known[character] for character in text)
    except KeyError:
        return text.encode()


def _sentencepiece_bytes(text: str, is_fallback: bool) -> bytes:
    """Bytes of a SentencePiece token.

    >>> _sentencepiece_bytes("\u2581a", True)
    b' a'
    >>> _sentencepiece_bytes("<0x0A>", True), _sentencepiece_bytes("<0x0A>", False)
    (b'\\n', b'<0x0A>')
    """
    if is_fallback and (found := BYTE.fullmatch(text)):
        return bytes.fromhex(found[1])
    return text.replace(SPACE_MARK, " ").encode()


def _decoder_drops_space(decoder: Mapping[str, Any]) -> bool:
    """Whether a decoding step removes one space from the beginning of the text."""
    if decoder["type"] == "Metaspace":
        scheme = "always" if decoder.get("add_prefix_space", True) else "never"
        return decoder.get("prepend_scheme", scheme) != "never"
    return decoder["type"] == "Strip" and decoder.get("start", 0) > 0


def loss_reason(content: Mapping[str, Any], spelt: TokenBytes | None) -> Reason | None:
    """Why some texts are not restored byte for byte; None if every text is.

    >>> loss_reason({"normalizer": {"type": "NFC"}}, TokenBytes({}, False)).code
    'normalised'
    """
    names = [step["type"] for step in flatten_steps(content, "normalizer")]
    model = content["model"]["type"] if "model" in content else "BPE"
    changes = [name for name in names if name not in REVERSIBLE_NORMALISERS]
    if spelt is None:
        also = f" after {', '.join(changes)}" if changes else ""
        return Reason("words", f"{model} tokens{also} do not keep the white space between words.")
    if changes:
        return Reason("normalised", f"The text is normalised first ({', '.join(changes)}).")
    steps = flatten_steps(content, "pre_tokenizer")
    before = [step for step in steps if step["type"] == "ByteLevel"]
    if any(step.get("add_prefix_space") for step in before):
        return Reason("prefix", "A text with and one without a space before it have the same ids.")
    single = {value for value in spelt.bytes_of.values() if len(value) == 1}
    if len(single) < 256:
        return Reason("unknown", f"{256 - len(single)} bytes have no token: they become unknown.")
    return None if before else Reason("mark", "U+2581, the mark of a space, comes back as a space.")
