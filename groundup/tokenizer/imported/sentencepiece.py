"""Read SentencePiece's .model files and build a tokenizer.

The library parses them; files are untrusted, so size and kind are checked here, and the library
checks the rest. What a tokenizer.json expresses is encoded by `tokenizers`, as in any other
directory, the remainder by the library itself (pieces.py).

Source: Kudo and Richardson 2018, arXiv:1808.06226; Kudo 2018, arXiv:1804.10959 (unigram).
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ArtifactError, DataError

from .content import (
    JsonContent,
    added_tokens,
    bpe_model,
    metaspace_steps,
    sequence_step,
    special_tokens_processor,
    tokenizer_content,
)
from .pieces import (
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    ScoredPiece,
    has_all_bytes,
    mergeable_scores,
    merges_differ,
    merges_from_scores,
    sentencepiece_messages,
)
from .spelling import flatten_steps
from .tokenizer import ImportedTokenizer

MAX_FILE_BYTES = 256 * 2**20
"""Maximum file size; the largest known file has 5 MB."""
MODEL_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


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


def _parse_model(data: bytes) -> SentencePieceModel:
    message = sentencepiece_messages().ModelProto()
    try:
        message.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, which has no common base
        raise ValueError(str(error)[:200]) from None
    trainer, normaliser = message.trainer_spec, message.normalizer_spec
    if not message.pieces:
        raise ValueError("there are no pieces in it")
    if any(isinstance(piece.piece, bytes) for piece in message.pieces):
        raise ValueError("a piece in it is not UTF-8")
    if trainer.treat_whitespace_as_suffix or not normaliser.escape_whitespaces:
        raise ValueError("it marks spaces after words, or not at all; expected before them")
    return SentencePieceModel(
        [ScoredPiece(piece.piece, piece.score, piece.type) for piece in message.pieces],
        MODEL_KINDS.get(trainer.model_type, "unknown"),
        normaliser.add_dummy_prefix,
        normaliser.remove_extra_whitespaces,
        normaliser.precompiled_charsmap,
        trainer.bos_id,
        trainer.eos_id,
        trainer.pad_id,
    )


def tokenizer_from_model(
    model: SentencePieceModel, before: Sequence[int] = (), after: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
) -> ImportedTokenizer:  # fmt: skip
    """The tokenizer of a model; `before` and `after` are ids around a text."""
    content, extra = _model_content(model, before, after), dict[str, Any]()
    user_defined = [piece.text for piece in model.pieces if piece.kind == USER_DEFINED]
    if model.charsmap or model.collapses_spaces:
        extra["normaliser"] = {
            "prefix": model.adds_prefix_space, "squeezed": model.collapses_spaces,
            "charsmap": base64.b64encode(model.charsmap).decode(),
            "protected": sorted(filter(None, user_defined), key=len, reverse=True),
        }  # fmt: skip
    elif model.adds_prefix_space and user_defined:
        extra["lead"] = " "  # `tokenizers` would also put the space after user-defined pieces
    if model.kind == "bpe" and merges_differ(model.pieces):
        extra |= {"run": "", "pieces": [list(piece) for piece in model.pieces]}
    return ImportedTokenizer(content, settings, extra)


def open_sentencepiece(path: Path, settings: Mapping[str, Any] | None = None) -> ImportedTokenizer:
    """Open a .model file; ArtifactError if it is invalid.

    The settings determine the ids around a text; without settings it is bos, as in Llama.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ArtifactError(f"{path} has over {MAX_FILE_BYTES} bytes: no SentencePiece model.")
        model = _parse_model(path.read_bytes())
        ids = {"bos": model.bos, "eos": model.eos, "pad": model.pad}
        texts = dict(enumerate(piece.text for piece in model.pieces))
        roles = {f"{role}_token": texts[id] for role, id in ids.items() if id in texts}
        known = {"add_bos_token": model.kind == "bpe", "add_eos_token": model.kind == "unigram"}
        return tokenizer_from_model(model, settings=roles | known | dict(settings or {}))
    except OSError as error:
        raise ArtifactError(f"Cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        what = f"{path} is no complete SentencePiece model ({error})"
        raise ArtifactError(f"{what}; download it again.") from None
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
    is_fallback = has_all_bytes(model.pieces)
    if unknown is None and not is_fallback:
        raise DataError("The model has no piece for unknown characters, and not all 256 bytes.")
    steps = metaspace_steps(
        prefix=model.adds_prefix_space,
        is_put_by_caller=any(piece.kind == USER_DEFINED for piece in model.pieces),
        charsmap=model.charsmap, squeezed=model.collapses_spaces,
    )  # fmt: skip
    if not is_fallback:
        flat = flatten_steps(steps, "decoder")
        decoder = [step for step in flat if step["type"] != "ByteFallback"]
        steps["decoder"] = sequence_step("decoders", decoder)
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
