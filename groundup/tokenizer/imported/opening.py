"""Open any tokenizer: a directory, or one file of it; and write one for everybody.

    groundup's own          FastTokenizer, in every way as it was trained
    tokenizer.json          Hugging Face; with tokenizer_config.json and special_tokens_map.json
    tekken.json             Mistral
    *.model                 SentencePiece
    vocab.txt               WordPiece
    vocab.json, merges.txt  pairs, as GPT-2 and GPT-1 were published

The first of these that a directory has is opened. A GGUF file's is `tokenizer_of_gguf`'s.
"""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from groundup.core import (
    ArtifactError,
    DataError,
    Tokenizer,
    check_kind,
    write_json,
    write_text,
)

from ..fast import FastTokenizer
from ..files import load
from .content import read_object
from .normaliser import Normaliser
from .pieces import Cutter, Piece
from .sentencepiece import open_sentencepiece
from .tekken import open_tekken
from .tokenizer import ImportedTokenizer
from .vocabulary import open_pairs, open_word_pieces

Settings = Mapping[str, Any]
MOST_BYTES = 512 * 2**20
PIECES = "pieces.json"
EXPECTED = "tokenizer.json, tekken.json, a .model file, vocab.txt, or vocab.json and merges.txt"


def load_tokenizer(path: Path | str) -> FastTokenizer | ImportedTokenizer:
    """Open a tokenizer of ours or of anybody: a directory, or one of the files above.

    Raises ArtifactError if there is none or it is damaged, saying what was expected.
    """
    path = Path(path)
    file = path if path.is_file() else found_in(path)
    if file.name == "tokenizer.json" and (ours := own(file.parent)):
        return ours
    settings = settings_beside(file)
    if file.stat().st_size > MOST_BYTES:
        raise ArtifactError(f"{file} has {file.stat().st_size} bytes; expected a tokenizer.")
    if file.name == "vocab.json":
        return open_pairs(file, file.with_name("merges.txt"), settings)
    return opener(file)(file, settings)


def ids_needed(tokenizer: Tokenizer) -> int:
    """How many ids a model must have for this tokenizer.

    Of another's, those that text can give: Gemma 3's text models have a special token for pictures
    in their vocabulary, one id beyond their embeddings, that nothing ever puts in.
    """
    is_imported = isinstance(tokenizer, ImportedTokenizer)
    return tokenizer.text_size if is_imported else tokenizer.vocab_size


def found_in(directory: Path) -> Path:
    """The file of a directory that says the most."""
    for name in ("tokenizer.json", "tekken.json"):
        if (directory / name).is_file():
            return directory / name
    models = sorted(directory.glob("*.model")) or sorted(directory.glob("*.model.v*"))
    if models and models[0].is_file():
        return models[0]
    if (directory / "vocab.txt").is_file():
        return directory / "vocab.txt"
    if (directory / "vocab.json").is_file() and (directory / "merges.txt").is_file():
        return directory / "vocab.json"
    check_kind(directory, "tokenizer", "model")
    raise ArtifactError(f"{directory} has no tokenizer; expected {EXPECTED} in it.")


def opener(file: Path) -> Callable[[Path, Settings], ImportedTokenizer]:
    """How to open a file, by its name; ArtifactError lists the names."""
    if ".model" in file.name:  # Mistral's are called tokenizer.model.v3
        return open_sentencepiece
    if file.suffix == ".txt":
        return open_word_pieces
    if "tekken" in file.name:
        return open_tekken
    if file.suffix == ".json":
        return open_json
    raise ArtifactError(f"{file} is no tokenizer file; expected {EXPECTED}.")


def own(directory: Path) -> FastTokenizer | None:
    """A tokenizer that groundup wrote; None if somebody else did, or it is damaged."""
    try:
        return load(directory)
    except (DataError, ArtifactError, RecursionError):
        return None


def save_imported(tokenizer: ImportedTokenizer, directory: Path | str) -> None:
    """Write a tokenizer as the files that everybody opens; `load_tokenizer` gives it back.

    What a tokenizer.json cannot say (pieces.py: equal scores; a space before the text alone;
    normaliser.py) goes into pieces.json beside it, which only groundup reads: others then cut long
    runs of spaces, text after matched pieces, and accents after what is normalised a little
    differently, as transformers' own conversion does.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    settings = dict(tokenizer.settings)
    template = settings.pop("chat_template", None)
    settings.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
    settings.setdefault("clean_up_tokenization_spaces", False)
    write_json(directory / "tokenizer.json", tokenizer.content)
    write_json(directory / "tokenizer_config.json", settings)
    if isinstance(template, str):
        write_text(directory / "chat_template.jinja", template)
    more: dict[str, Any] = {"lead": tokenizer.lead} if tokenizer.lead else {}
    if cutter := tokenizer.cutter:
        more |= {"run": cutter.run, "pieces": [list(piece) for piece in cutter.pieces]}
    if normaliser := tokenizer.normaliser:
        more["normaliser"] = {
            "prefix": normaliser.prefix, "squeezed": normaliser.squeezed,
            "charsmap": base64.b64encode(normaliser.charsmap).decode(),
            "protected": normaliser.protected,
        }  # fmt: skip
    if more:
        write_json(directory / PIECES, more)


def open_json(file: Path, settings: Settings) -> ImportedTokenizer:
    """Open a tokenizer.json, with its pieces.json if there is one; ArtifactError if it is none."""
    content, beside = read_object(file), file.with_name(PIECES)
    more = read_object(beside) if beside.is_file() else {}
    try:
        pieces = [Piece(str(text), float(score), int(kind)) for text, score, kind in
                  more.get("pieces", ())]  # fmt: skip
        cutter = Cutter(pieces, str(more["run"])) if pieces else None
        lead, normaliser = str(more.get("lead", "")), normaliser_in(more)
        return ImportedTokenizer(content, settings, cutter, lead=lead, normaliser=normaliser)
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{file}: {error}") from None


def normaliser_in(more: Mapping[str, Any]) -> Normaliser | None:
    """The normaliser of a pieces.json, if it has one."""
    if (said := more.get("normaliser")) is None:
        return None
    return Normaliser(
        base64.b64decode(said["charsmap"]),
        prefix=bool(said["prefix"]),
        squeezed=bool(said["squeezed"]),
        protected=[str(piece) for piece in said["protected"]],
    )


def settings_beside(file: Path) -> dict[str, Any]:
    """What tokenizer_config.json and its neighbours say, the chat template among it."""
    found: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (beside := file.with_name(name)).is_file():
            found |= read_object(beside)
    template = file.with_name("chat_template.jinja")
    older = file.with_name("chat_template.json")
    if template.is_file():
        found["chat_template"] = template.read_text(encoding="utf-8")
    elif older.is_file():
        found |= read_object(older)
    return found
