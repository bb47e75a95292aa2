"""What an engine opens, how much it holds, and how what it opened is recognised again."""

from pathlib import Path

from pydantic import Field

from groundup.core import MANIFEST, Artifact, ArtifactError, Config, digest, hash_file

WEIGHTS_AND_WORDS = ("*.safetensors", "*.gguf", "*.json", "*.jinja", "*.model", "*.txt")
"""Files of a model that is no artifact by which it is recognised."""


class EngineSettings(Config):
    """What an engine opens."""

    model: str = ""
    """Directory of a language model or of a text encoder; empty: none."""
    index: str = ""
    """Directory of an index; empty: none."""
    prompt: str = ""
    """File of the prompt for answers from documents; empty: the one of `groundup ask`."""
    risk: str = ""
    """Of answers from documents, as `groundup calibrate` promised it; empty: none is promised."""
    bits: int = 0
    """Round the weights to 8 or 4 bits; 0: as they are."""
    cache_tokens: int = Field(default=32_768, ge=1)
    """Tokens of all requests that the cache holds."""
    max_running: int = Field(default=256, ge=1)
    """Requests that are computed at a time."""


def identity_of(settings: EngineSettings, *, rehash: bool = False) -> dict[str, str]:
    """Ids of the model, its artifact's or the hash of its files, and of the prompt, if any.

    rehash  check every file of an artifact, of whatever size

    Raises ArtifactError if the model was edited, or one of them is missing.
    """
    found, model = dict[str, str](), Path(settings.model)
    if settings.model and (model / MANIFEST).is_file():
        artifact = Artifact.open(model)
        if rehash:
            artifact.check_hashes()
        found["model"] = artifact.id
    elif settings.model:
        files = {file for pattern in WEIGHTS_AND_WORDS for file in model.glob(pattern)}
        if not files:
            raise ArtifactError(f"{model} has no files of a model; expected its directory.")
        found["model"] = digest([[file.name, hash_file(file)] for file in sorted(files)])
    if settings.prompt:
        try:
            found["prompt"] = hash_file(Path(settings.prompt))
        except OSError as error:
            raise ArtifactError(f"{settings.prompt} cannot be read: {error.strerror}.") from None
    return found
