"""Read SentencePiece's .model files and build a tokenizer.

A .model is a protocol buffer: fields with number, wire type and value, and nested messages. Sixty
lines read it without generated code, and memory is bounded by the file size. Field numbers:
sentencepiece_model.proto.

Source: Kudo and Richardson 2018, arXiv:1808.06226; Kudo 2018, arXiv:1804.10959 (unigram).
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ArtifactError, DataError

from .content import (
    JsonContent,
    _sequence_step,
    added_tokens,
    bpe_model,
    metaspace_steps,
    special_tokens_processor,
    tokenizer_content,
)
from .normaliser import Normaliser
from .pieces import (
    BYTE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    ScoredPiece,
    make_score_merger,
    mergeable_scores,
    merges_from_scores,
)  # fmt: skip
from .spelling import flatten_steps
from .tokenizer import ImportedTokenizer

MAX_FILE_BYTES = 256 * 2**20
"""Maximum file size; the largest known file has 5 MB."""
MODEL_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class SentencePieceModel(NamedTuple):
    """Contents of a SentencePiece model."""

    pieces: list[ScoredPiece]
    kind: str
    """One of KINDS."""
    adds_prefix_space: bool = True
    """Whether a space is put before the text."""
    collapses_spaces: bool = True
    """Whether spaces at the ends are removed and runs of them collapsed."""
    charsmap: bytes = b""
    bos: int = 1
    """Ids of special tokens; -1 if there is none."""
    eos: int = 2
    pad: int = -1


class WireReader:
    """Reads a message from front to back; ValueError if it ends too early."""

    def __init__(self, data: bytes) -> None:
        self.data, self.offset = data, 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self.data) - self.offset:
            raise ValueError(f"{size} bytes at byte {self.offset} of {len(self.data)}")
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def read_varint(self) -> int:
        """A variable-length integer: seven bits per byte, low ones first."""
        value = 0
        for count in range(10):
            byte = self.read(1)[0]
            value |= (byte & 127) << 7 * count
            if byte < 128:
                return value
        raise ValueError(f"a number of more than ten bytes before byte {self.offset}")


def _read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    r"""Yield number and value of a message's fields.

    >>> list(_read_fields(b"\x08\x96\x01\x12\x02hi"))
    [(1, 150), (2, b'hi')]
    """
    wire = WireReader(data)
    while wire.offset < len(data):
        key = wire.read_varint()
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            yield number, wire.read_varint()
        elif kind in (FIXED32, FIXED64):
            yield number, wire.read(4 if kind == FIXED32 else 8)
        elif kind == BYTES:
            yield number, wire.read(wire.read_varint())
        else:
            raise ValueError(f"wire type {kind} before byte {wire.offset}")


def _read_message(data: int | bytes, kinds: dict[int, type]) -> dict[int, Any]:
    """The last value of each field that `kinds` names; ValueError for another type."""
    if isinstance(data, int):
        raise ValueError("a number where a message was expected")
    found: dict[int, Any] = {}
    for number, value in _read_fields(data):
        kind = kinds.get(number)
        if isinstance(value, int) and kind is int:
            found[number] = value - 2**64 if value >= 2**63 else value
        elif isinstance(value, bytes) and kind is bytes:
            found[number] = value
        elif isinstance(value, bytes) and kind is str:
            found[number] = value.decode("utf-8")
        elif isinstance(value, bytes) and kind is float and len(value) == 4:
            found[number] = struct.unpack("<f", value)[0]
        elif kind is not None:
            raise ValueError(f"field {number} of a message has another type")
    return found


def _parse_model(data: bytes) -> SentencePieceModel:
    """Read a .model; ValueError if it is invalid."""
    pieces, trainer, normaliser = list[ScoredPiece](), dict[int, Any](), dict[int, Any]()
    for number, value in _read_fields(data):
        if number == 1:
            found = _read_message(value, {1: str, 2: float, 3: int})
            pieces.append(ScoredPiece(found.get(1, ""), found.get(2, 0.0), found.get(3, 1)))
        elif number == 2:
            trainer = _read_message(value, {3: int, 24: int, 40: int, 41: int, 42: int, 43: int})
        elif number == 3:
            normaliser = _read_message(value, {2: bytes, 3: int, 4: int, 5: int})
    if not pieces:
        raise ValueError("there are no pieces in it")
    if trainer.get(24) or not normaliser.get(5, True):
        raise ValueError("it marks spaces after words, or not at all; expected before them")
    return SentencePieceModel(
        pieces,
        MODEL_KINDS.get(trainer.get(3, 1), "unknown"),
        bool(normaliser.get(3, True)),
        bool(normaliser.get(4, True)),
        normaliser.get(2, b""),
        trainer.get(41, 1),
        trainer.get(42, 2),
        trainer.get(43, -1),
    )


def _open_model(path: Path) -> SentencePieceModel:
    """Open a .model file; ArtifactError if it cannot be read, DataError if it is invalid."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ArtifactError(f"{path} has over {MAX_FILE_BYTES} bytes: no SentencePiece model.")
        return _parse_model(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"Cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise ArtifactError(
            f"{path} is no complete SentencePiece model ({error}); download it again."
        ) from None


def _user_defined_pieces(model: SentencePieceModel) -> list[str]:
    """The user-defined pieces, which are matched before any merging."""
    return [piece.text for piece in model.pieces if piece.kind == USER_DEFINED]


def _normaliser_of(model: SentencePieceModel) -> Normaliser | None:
    """The model's normaliser; None if it only marks spaces, which `tokenizers` does."""
    if not model.charsmap and not model.collapses_spaces:
        return None
    return Normaliser(
        model.charsmap,
        prefix=model.adds_prefix_space,
        squeezed=model.collapses_spaces,
        protected=_user_defined_pieces(model),
    )


def tokenizer_from_model(
    model: SentencePieceModel, before: Sequence[int] = (), after: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
) -> ImportedTokenizer:  # fmt: skip
    """The tokenizer of a model; `before` and `after` are ids around a text."""
    made, normaliser = _model_content(model, before, after), _normaliser_of(model)
    cutter = make_score_merger(model.pieces) if model.kind == "bpe" else None
    # `tokenizers` would also put the space after user-defined pieces.
    lead = (
        " "
        if model.adds_prefix_space and _user_defined_pieces(model) and normaliser is None
        else ""
    )
    return ImportedTokenizer(made, settings, cutter, lead=lead, normaliser=normaliser)


def open_sentencepiece(path: Path, settings: Mapping[str, Any] | None = None) -> ImportedTokenizer:
    """Open a .model file; ArtifactError if it is invalid.

    The settings determine the ids around a text; without settings it is bos, as in Llama.
    """
    model = _open_model(path)
    ids = {"bos": model.bos, "eos": model.eos, "pad": model.pad}
    roles = {
        f"{role}_token": model.pieces[id].text
        for role, id in ids.items()
        if 0 <= id < len(model.pieces)
    }
    known = {"add_bos_token": model.kind == "bpe", "add_eos_token": model.kind == "unigram"}
    try:
        return tokenizer_from_model(model, settings=roles | known | dict(settings or {}))
    except DataError as error:
        raise ArtifactError(f"{path}: {error}") from None


def _model_content(
    model: SentencePieceModel, before: Sequence[int] = (), after: Sequence[int] = ()
) -> JsonContent:
    """The model as a tokenizer.json; `before` and `after` are ids around a text.

    Raises DataError for word or character models, duplicate pieces, or a missing unknown piece.
    """
    if model.kind not in ("bpe", "unigram"):
        raise DataError(f"A SentencePiece model of kind {model.kind}; expected bpe or unigram.")
    names = [piece.text for piece in model.pieces]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"The piece {twice[0]!r} is in the vocabulary twice: which id is meant?")
    if model.kind == "unigram" and any(piece.kind == UNUSED for piece in model.pieces):
        raise DataError("A unigram model with unused pieces; expected one that uses its pieces.")
    unknown = next((id for id, piece in enumerate(model.pieces) if piece.kind == UNKNOWN), None)
    is_fallback = sum(piece.kind == BYTE for piece in model.pieces) == 256
    if unknown is None and not is_fallback:
        raise DataError("The model has no piece for unknown characters, and not all 256 bytes.")
    steps = metaspace_steps(
        prefix=model.adds_prefix_space, is_put_by_caller=bool(_user_defined_pieces(model)),
        charsmap=model.charsmap, squeezed=model.collapses_spaces,
    )  # fmt: skip
    if not is_fallback:
        flat = flatten_steps(steps, "decoder")
        decoder = [step for step in flat if step["type"] != "ByteFallback"]
        steps["decoder"] = _sequence_step("decoders", decoder)
    steps["post_processor"] = special_tokens_processor(
        *([(names[id], id) for id in ids] for ids in (before, after))
    )
    if model.kind == "unigram":
        vocab = [[name, piece.score] for name, piece in zip(names, model.pieces, strict=True)]
        inner: JsonContent = {"type": "Unigram", "unk_id": unknown, "vocab": vocab}
        inner["byte_fallback"] = is_fallback
    else:
        inner = bpe_model(
            {name: id for id, name in enumerate(names)},
            merges_from_scores(mergeable_scores(model.pieces)),
            byte_fallback=is_fallback, unk_token=None if unknown is None else names[unknown],
        )  # fmt: skip
    # Else a piece may become nothing.
    is_marking = not model.charsmap and not model.collapses_spaces
    return tokenizer_content(inner, added_tokens(model.pieces, marked=is_marking), steps)
