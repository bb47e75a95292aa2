"""Which encoder and reader an index has; without numpy and torch, which most questions need not."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar
from urllib.parse import unquote

from pydantic import Field

from groundup.core import ArtifactError, Config, ConfigError, digest, hash_file

if TYPE_CHECKING:
    import torch

    from groundup.embeddings import StaticEncoder
    from groundup.model import TextEncoder

PROMPTS, WORDS = "config_sentence_transformers.json", "vocabulary.json"
VECTORS = ("vectors.npy", "vectors.json", "vectors.keys")
"""Files of a snapshot with vectors (vectors.py)."""
STORED = "log/vectors.postgres.json"
"""Names a snapshot's rows in a database (encoders/postgres.py)."""
MIN_RECALL = 0.95
"""Of the exact nearest ten, from which a quicker search is kept (encoders/quantized.py)."""
ARCHITECTURES = {"reader": b"ForQuestionAnswering", "reranker": b"ForSequenceClassification"}
"""In the config.json of a model, as its architecture; a reader reranks too."""
MODEL_FILES = (".json", ".safetensors", ".txt", ".model", ".vocab")
"""Endings of the files that say what a model does."""


class TextEncoderConfig(Config):
    """The model that turns passages and questions into vectors."""

    path: str = ""
    """Directory of a text encoder, as Sentence Transformers or groundup wrote it, or of static
    vectors, which are the fastest (`groundup vectors train`); empty: none."""
    query_prefix: str = ""
    """Before every question, such as "query: " for models of the E5 family; empty: the directory's
    prompt `query`, if it has one."""
    passage_prefix: str = ""
    """Before every passage, such as "passage: "; empty: the directory's prompt `document`."""
    precision: Literal["float16", "int8"] = "float16"
    """Of the numbers that a question is compared with; int8: a byte, and the nearest in full."""
    exact_below: int = Field(default=100_000, ge=2)
    """Texts from which codes of four bits (a graph in a database) lead to the nearest; below, all
    are compared."""
    store: str = ""
    """Database of the vectors, postgresql://user@host/name, with pgvector; empty: files."""
    languages: tuple[str, ...] = ("english",)
    """Languages that it understands; to documents in others it leads, and words alone answer."""
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


class RerankerChoice(Config):
    """The model that orders what words find (readers/scoring.py)."""

    path: str = ""
    """Directory of a cross-encoder; empty: none."""
    milliseconds: int = Field(default=300, ge=0)
    """Time for a question, after which what was not read keeps its order behind what was."""
    digest: str = ""
    """Hash of the reranker's files; set by the stage."""


def files_digest(path: Path, what: str = "text encoder") -> str:
    """Hash of the files of a model's directory; ConfigError without one, or if it is unfinished."""
    if not path.is_dir():
        raise ConfigError(f"There is no directory {path}; expected a {what}'s.")
    if not any((path / name).is_file() for name in ("config.json", "modules.json", WORDS)):
        option = "--" + what.split()[-1]
        raise ConfigError(f"{path} holds no {what}; `groundup index {option}` takes one.")
    if (path / ".scratch" / "key").is_file():
        raise ConfigError(f"{path} is unfinished; run again what makes this {what}.")
    files = sorted(file for file in path.rglob("*") if file.suffix in MODEL_FILES)
    return digest([[str(file.relative_to(path)), hash_file(file)] for file in files])


def check_same_model(config: TextEncoderConfig | ReaderChoice | RerankerChoice, what: str) -> Path:
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


Choice = TypeVar("Choice", ReaderChoice, RerankerChoice)


def with_model_digest(config: Choice, what: str) -> Choice:
    """The configuration with the hash of its model, if it names one.

    what  "extractive reader" or "reranker"

    Raises ConfigError if the directory is of something else.
    """
    if not config.path:
        return type(config)()
    path, verb = Path(config.path).resolve(), what.split()[-1]
    values = {"path": str(path), "digest": files_digest(path, what)}
    content = (model_folder(path) / "config.json").read_bytes()
    if ARCHITECTURES["reader"] not in content and ARCHITECTURES[verb] not in content:
        raise ConfigError(
            f"{path} is no {what}; fine-tune one with: groundup {verb} DOCUMENTS "
            f"--base {config.path} --questions FILE --out {verb.upper()}"
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


def check_encoder(config: TextEncoderConfig) -> None:
    """Raise ConfigError for an encoder that is none, ArtifactError for a database out of reach."""
    if config.path:
        _check_embeds(Path(config.path))
    if config.store:
        from .encoders.postgres import connect  # imports numpy

        with connect(config.store):
            pass


def _check_embeds(path: Path) -> None:
    from groundup.embeddings import is_static_encoder  # imports numpy

    if is_static_encoder(path) or (path / "modules.json").is_file():
        return
    from groundup.model import open_config  # imports torch

    if (kind := open_config(path).kind) != "encoder":
        raise ConfigError(f"{path} is a {kind} that does not say how it embeds texts; expected an "
                          "encoder, such as BERT.")  # fmt: skip


def load_text_encoder(
    path: Path, dtype: "torch.dtype | None" = None
) -> "TextEncoder | StaticEncoder":
    """Open an encoder; one whose directory does not say how it pools is averaged."""
    from groundup.embeddings import is_static_encoder, load_static_encoder  # imports numpy

    if is_static_encoder(path):
        return load_static_encoder(path)
    from groundup.model import HeadConfig, load_encoder  # imports torch

    _check_embeds(path)
    is_averaged = not (path / "modules.json").is_file()
    head = HeadConfig(kind="embedding", pooling="mean") if is_averaged else None
    return load_encoder(path, head, dtype)
