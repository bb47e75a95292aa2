"""Which encoder and reader an index has; without numpy and torch, which most questions need not."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

from pydantic import Field

from groundup.core import ArtifactError, Config, ConfigError, digest, hash_file

if TYPE_CHECKING:
    import torch

    from groundup.model import TextEncoder

PROMPTS = "config_sentence_transformers.json"
VECTORS = ("vectors.npy", "vectors.json", "vectors.keys")
"""Files of a snapshot with vectors (vectors.py)."""
STORED = "log/vectors.postgres.json"
"""Names a snapshot's rows in a database (encoders/postgres.py)."""
MIN_RECALL = 0.95
"""Of the exact nearest ten, from which a graph is kept (encoders/graph.py)."""
ANSWERS = b"ForQuestionAnswering"
"""In the config.json of a reader, as its architecture."""
MODEL_FILES = (".json", ".safetensors", ".txt", ".model", ".vocab")
"""Endings of the files that say what a model does."""


class TextEncoderConfig(Config):
    """The model that turns passages and questions into vectors."""

    path: str = ""
    """Directory of a text encoder, as Sentence Transformers or groundup wrote it; empty: none."""
    query_prefix: str = ""
    """Before every question, such as "query: " for models of the E5 family; empty: the directory's
    prompt `query`, if it has one."""
    passage_prefix: str = ""
    """Before every passage, such as "passage: "; empty: the directory's prompt `document`."""
    precision: Literal["float16", "int8"] = "float16"
    """Of the numbers that a question is compared with; int8: a byte, and the nearest in full."""
    exact_below: int = Field(default=100_000, ge=2)
    """Texts from which a graph (HNSW) leads to the nearest; below, all are compared."""
    store: str = ""
    """Database of the vectors, postgresql://user@host/name, with pgvector; empty: files."""
    digest: str = ""
    """Hash of the encoder's files; set by the stage."""


class ReaderChoice(Config):
    """The model that says whether what was found answers a question (readers/)."""

    path: str = ""
    """Directory of an extractive reader; empty: none."""
    languages: tuple[str, ...] = ("english",)
    """Languages that it reads; what documents in others say is decided by words alone."""
    veto: float = -4.0
    """Log-odds of an answer, rather than none, below which it refuses; higher: refuses more."""
    digest: str = ""
    """Hash of the reader's files; set by the stage."""


def files_digest(path: Path, what: str = "text encoder") -> str:
    """Hash of the files of a model's directory; ConfigError if there is no such directory."""
    if not any((path / name).is_file() for name in ("config.json", "modules.json")):
        option = "--" + what.split()[-1]
        raise ConfigError(f"{path} holds no {what}; `groundup index {option}` takes one.")
    files = sorted(file for file in path.rglob("*") if file.suffix in MODEL_FILES)
    return digest([[str(file.relative_to(path)), hash_file(file)] for file in files])


def check_same_model(config: TextEncoderConfig | ReaderChoice, what: str) -> Path:
    """The directory of an index's model.

    Raises ConfigError if it is gone, and ArtifactError, with both digests, if its files changed.
    """
    found = files_digest(Path(config.path), what)
    if found != config.digest:
        raise ArtifactError(
            f"The index is for the {what} {config.digest[:12]}, and {config.path} is {found[:12]} "
            "now; index again, or give back the one that it is for."
        )
    return Path(config.path)


def model_folder(path: Path) -> Path:
    """Where a directory, perhaps of Sentence Transformers, has its model; ConfigError if not."""
    folders = (path, path / "0_Transformer")
    if found := next((each for each in folders if (each / "config.json").is_file()), None):
        return found
    raise ConfigError(f"{path} holds no model; expected an encoder, such as BERT.")


def with_reader_digest(config: ReaderChoice) -> ReaderChoice:
    """The configuration with the hash of the reader, if it names one.

    Raises ConfigError if the directory is no model of question answering.
    """
    if not config.path:
        return ReaderChoice()
    path = Path(config.path).resolve()
    values = {"path": str(path), "digest": files_digest(path, "extractive reader")}
    if ANSWERS not in (path / "config.json").read_bytes():
        raise ConfigError(
            f"{path} answers no questions; fine-tune a reader with: groundup reader DOCUMENTS "
            f"--base {config.path} --questions FILE --out READER"
        )
    return config.model_copy(update=values)


def with_digest(config: TextEncoderConfig) -> TextEncoderConfig:
    """The configuration with the prefixes and the hash of the encoder, if it names one."""
    _check_store(config)
    if not config.path:
        return TextEncoderConfig()
    path = Path(config.path).resolve()
    own = prefixes_of(path)
    values = {
        "path": str(path), "digest": files_digest(path),
        "query_prefix": config.query_prefix or own.query,
        "passage_prefix": config.passage_prefix or own.passage,
    }  # fmt: skip
    return config.model_copy(update=values)


def _check_store(config: TextEncoderConfig) -> None:
    user = config.store.partition("://")[2].rpartition("@")[0]
    if ":" in user or "password=" in unquote(config.store):
        raise ConfigError(
            "encoder.store has a password, which the index would keep; leave it out and set "
            "PGPASSWORD, or write it to ~/.pgpass."
        )
    if config.store and not config.store.startswith(("postgresql://", "postgres://")):
        raise ConfigError("encoder.store is no database; expected postgresql://user@host/name.")
    if config.store and not config.path:
        raise ConfigError("encoder.store keeps vectors, which need an --encoder; give it too.")
    if config.store and config.precision != "float16":
        raise ConfigError("encoder.precision=int8 is of files; leave it out with encoder.store.")


class Prefixes(NamedTuple):
    """What stands before every question, and before every passage."""

    query: str
    passage: str


def prefixes_of(path: Path) -> Prefixes:
    """The prompts `query` and `document` of an encoder's directory, else its default prompt.

    Raises ConfigError if the file of prompts is damaged.
    """
    file = path / PROMPTS
    try:
        values = json.loads(file.read_bytes()) if file.is_file() else {}
        prompts = values.get("prompts") or {}
        default = prompts.get(values.get("default_prompt_name"), "")
        return Prefixes(*(str(prompts.get(name, default)) for name in ("query", "document")))
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{file} is damaged: {error}.") from None


def load_text_encoder(path: Path, dtype: "torch.dtype | None" = None) -> "TextEncoder":
    """Open an encoder; one whose directory does not say how it pools is averaged."""
    from groundup.model import HeadConfig, load_encoder  # imports torch

    is_averaged = not (path / "modules.json").is_file()
    head = HeadConfig(kind="embedding", pooling="mean") if is_averaged else None
    return load_encoder(path, head, dtype)
