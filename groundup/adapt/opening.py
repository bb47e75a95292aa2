"""Opens a model by its directory, or by that of an adapter together with the model it is of."""

from contextlib import suppress
from pathlib import Path

import torch

from groundup.core import MANIFEST, Artifact, ArtifactError, ConfigError
from groundup.model import Transformer, load, read_json_object

from .attach import remove_adapter
from .files import load_adapter
from .merge import merge_adapter
from .source import ADAPTER_CONFIG

NAME = "default"


def base_of(path: Path | str) -> Path:
    """The directory of the model that an adapter's directory is of; of a model, itself.

    An artifact's manifest has where the model is, other adapters' configuration.

    Raises ArtifactError if it is not there.
    """
    path = Path(path)
    if not (path / ADAPTER_CONFIG).is_file():
        return path
    values = read_json_object(path / ADAPTER_CONFIG)
    named = values.get("base_model_name_or_path") or values.get("model_name")
    places = [Path(named)] if isinstance(named, str) and named else []
    if (path / MANIFEST).is_file():
        parents = Artifact.open(path, kind="adapter").parents
        places = [path / each.path for each in parents if each.name == "model"]
    base = next((place for place in places if (place / "config.json").is_file()), None)
    if base is None:
        what = f"{path} is an adapter of {places[0] if places else 'an unnamed model'}"
        raise ArtifactError(
            f"{what}, which is not there; with the model: groundup merge MODEL {path} OUT."
        )
    return base.resolve()


def load_adapted(path: Path | str, dtype: torch.dtype | None = None) -> Transformer:
    """Open a model directory, or an adapter's with its model.

    LoRA is merged in memory, where that can be; what cannot stays attached, and acts.

    Raises ArtifactError as `load`, `base_of` and `load_adapter` do.
    """
    base = base_of(path)
    model = load(base, dtype=dtype)
    if base != Path(path):
        load_adapter(model, path, NAME, base=base)
        with suppress(ConfigError):  # prefixes, bottlenecks, packed weights, tied embeddings
            merge_adapter(model, NAME)
            remove_adapter(model, NAME)
    return model
