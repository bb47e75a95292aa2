"""Open a tokenizer of any format from a directory or file, and save it in Hugging Face's.

    groundup's own          FastTokenizer, in every way as it was trained
    tokenizer.json          Hugging Face; with tokenizer_config.json and special_tokens_map.json
    tekken.json             Mistral
    *.model                 SentencePiece
    vocab.txt               WordPiece
    vocab.json, merges.txt  pairs, as GPT-2 and GPT-1 were published

The first of these found in a directory is opened. GGUF files are read by `tokenizer_of_gguf`.
"""

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
from ..files import load_bpe_tokenizer
from .content import read_json_content
from .sentencepiece import open_sentencepiece
from .tokenizer import ImportedTokenizer
from .vocabulary import open_tekken, open_vocab_and_merges, open_wordpiece

Settings = Mapping[str, Any]
MOST_BYTES = 512 * 2**20
PIECES_FILE = "pieces.json"
EXPECTED = "tokenizer.json, tekken.json, a .model file, vocab.txt, or vocab.json and merges.txt"


def load_tokenizer(path: Path | str) -> FastTokenizer | ImportedTokenizer:
    """Open a groundup or imported tokenizer: a directory, or one of the files above.

    Raises ArtifactError if there is none or it is damaged; the message says what was expected.
    """
    path = Path(path)
    file = path if path.is_file() else _find_tokenizer_file(path)
    if file.name == "tokenizer.json" and (own_tokenizer := _open_groundup_tokenizer(file.parent)):
        return own_tokenizer
    settings = _read_settings_files(file)
    if file.stat().st_size > MOST_BYTES:
        raise ArtifactError(f"{file} has {file.stat().st_size} bytes; expected a tokenizer.")
    if file.name == "vocab.json":
        return open_vocab_and_merges(file, file.with_name("merges.txt"), settings)
    return _opener_for(file)(file, settings)


def required_vocab_size(tokenizer: Tokenizer) -> int:
    """Minimum vocabulary size of a model for this tokenizer.

    For imported tokenizers only ids that text can produce count: Gemma 3's text models have a
    special image token one id beyond their embeddings, which is never used.
    """
    is_imported = isinstance(tokenizer, ImportedTokenizer)
    return tokenizer.text_vocab_size if is_imported else tokenizer.vocab_size


def _find_tokenizer_file(directory: Path) -> Path:
    """The most informative file of a directory."""
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


def _opener_for(file: Path) -> Callable[[Path, Settings], ImportedTokenizer]:
    if ".model" in file.name:  # Mistral names them tokenizer.model.v3
        return open_sentencepiece
    if file.suffix == ".txt":
        return open_wordpiece
    if "tekken" in file.name:
        return open_tekken
    if file.suffix == ".json":
        return _open_json
    raise ArtifactError(f"{file} is no tokenizer file; expected {EXPECTED}.")


def _open_groundup_tokenizer(directory: Path) -> FastTokenizer | None:
    """Open a tokenizer written by groundup; None if it is foreign or damaged."""
    try:
        return load_bpe_tokenizer(directory)
    except (DataError, ArtifactError, RecursionError):
        return None


def save_imported(tokenizer: ImportedTokenizer, directory: Path | str) -> None:
    """Write a tokenizer in Hugging Face's format; `load_tokenizer` restores it exactly.

    What tokenizer.json cannot express (pieces.py) goes into an additional pieces.json that only
    groundup reads. Other libraries
    then segment long runs of spaces, text after matched pieces, and accents after normalised
    characters slightly differently, as transformers' own conversion does.
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
    if tokenizer.extra:
        write_json(directory / PIECES_FILE, tokenizer.extra)


def _open_json(file: Path, settings: Settings) -> ImportedTokenizer:
    """Open a tokenizer.json, and its pieces.json if present; ArtifactError if it is invalid."""
    content, extra_file = read_json_content(file), file.with_name(PIECES_FILE)
    extra = read_json_content(extra_file) if extra_file.is_file() else {}
    try:
        return ImportedTokenizer(content, settings, extra)
    except DataError as error:
        raise ArtifactError(f"{file}: {error}") from None


def _read_settings_files(file: Path) -> dict[str, Any]:
    """Settings from tokenizer_config.json and its neighbours, chat template included."""
    found: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (beside := file.with_name(name)).is_file():
            found |= read_json_content(beside)
    template = file.with_name("chat_template.jinja")
    older = file.with_name("chat_template.json")
    if template.is_file():
        found["chat_template"] = template.read_text(encoding="utf-8")
    elif older.is_file():
        found |= read_json_content(older)
    return found
