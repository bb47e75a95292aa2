"""Which encoder an index has; without numpy, which most questions need not."""

import json
from pathlib import Path

from groundup.core import Config, ConfigError, digest, hash_file

PROMPTS = "config_sentence_transformers.json"
VECTORS = ("vectors.npy", "vectors.json", "vectors.keys")
"""Files of a snapshot with vectors (vectors.py)."""
ENCODER_FILES = (".json", ".safetensors", ".txt", ".model", ".vocab")
"""Endings of the files that say what an encoder does."""


class TextEncoderConfig(Config):
    """The model that turns passages and questions into vectors."""

    path: str = ""
    """Directory of a text encoder, as Sentence Transformers or groundup wrote it; empty: none."""
    query_prefix: str = ""
    """Before every question, such as "query: " for models of the E5 family; empty: the directory's
    prompt `query`, if it has one."""
    passage_prefix: str = ""
    """Before every passage, such as "passage: "; empty: the directory's prompt `document`."""
    digest: str = ""
    """Hash of the encoder's files; set by the stage."""


def encoder_digest(path: Path) -> str:
    """Hash of the files of an encoder's directory; ConfigError if there is no such directory."""
    if not any((path / name).is_file() for name in ("config.json", "modules.json")):
        raise ConfigError(f"{path} holds no text encoder; `groundup index --encoder` takes one.")
    files = sorted(file for file in path.rglob("*") if file.suffix in ENCODER_FILES)
    return digest([[str(file.relative_to(path)), hash_file(file)] for file in files])


def with_digest(config: TextEncoderConfig) -> TextEncoderConfig:
    """The configuration with the hash of the encoder's files, if it names an encoder."""
    if not config.path:
        return TextEncoderConfig()
    path = Path(config.path).resolve()
    values, file = {"path": str(path), "digest": encoder_digest(path)}, path / PROMPTS
    try:
        stored = (json.loads(file.read_bytes()).get("prompts") or {}) if file.is_file() else {}
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{file} is damaged: {error}.") from None
    for name, prompt in (("query_prefix", "query"), ("passage_prefix", "document")):
        values[name] = getattr(config, name) or str(stored.get(prompt, ""))
    return config.model_copy(update=values)
