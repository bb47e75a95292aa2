"""An adapter's directory while it is read: each tensor expected, of the right shape, used once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.core import ArtifactError
from groundup.model import Transformer, choose_family, read_json_object, read_safetensors

from .selection import AdapterSelection

ADAPTER_CONFIG = "adapter_config.json"
AdapterFiles = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors of a file, and the values of adapter_config.json."""
PICKLES = ("adapter_model.bin", "pytorch_adapter.bin")


class AdapterSource:
    """The values and tensors of an adapter, and the model that will have it under a name."""

    def __init__(
        self, path: Path, model: Transformer, name: str, selection: AdapterSelection,
        base: Path | None,
    ) -> None:  # fmt: skip
        """Read adapter_config.json; `base` is the model's directory, named in errors."""
        self.model, self.name, self.selection = model, name, selection
        self.path, self.values = path, read_json_object(path / ADAPTER_CONFIG)
        self.tensors: dict[str, Tensor] = {}
        config, named = model.config, base or "this model"
        family = choose_family(config, first=model.family).name
        self.described = f"{named} ({family}, width {config.width}, {config.layers} layers)"

    def rejected(self, why: str) -> ArtifactError:
        """The error that the adapter does not fit, which names both models."""
        owners = (self.values.get(key) for key in ("base_model_name_or_path", "model_name"))
        what = f"{self.path}, an adapter of {next(filter(None, owners), 'an unnamed model')}"
        return ArtifactError(f"{what}, does not fit {self.described}: {why}.")

    def read_tensors(self, file: str) -> None:
        """Read a safetensors file; ArtifactError if there is a pickle in its place."""
        pickle = next((name for name in PICKLES if (self.path / name).is_file()), None)
        if pickle is not None and not (self.path / file).is_file():
            what = f"{self.path / pickle} is a pickle, which can execute code when opened"
            raise ArtifactError(f"{what}; write the adapter as {file}.")
        self.tensors = read_safetensors(self.path / file)

    def require_values(self, values: Mapping[str, Any], allowed: Mapping[str, Sequence]) -> None:
        """Raise ArtifactError for a value that changes what the adapter computes."""
        for key, good in allowed.items():
            if values.get(key, good[0]) not in good:
                what = f"{self.path / ADAPTER_CONFIG} has {key}={str(values[key])[:60]}"
                raise ArtifactError(f"{what}; groundup supports {key}={good[0]!r}.")

    def pop(self, key: str, shape: Sequence[int]) -> Tensor:
        """Remove and return a tensor; ArtifactError if it is missing, misshapen or not finite."""
        if key not in self.tensors:
            raise self.rejected(f"it has no tensor {key}")
        tensor, shape = self.tensors.pop(key), tuple(shape)
        if tensor.shape != shape:
            raise self.rejected(f"{key} is {tuple(tensor.shape)}, and the model needs {shape}")
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise self.rejected(f"{key} has values that are not finite numbers")
        return tensor

    @torch.no_grad()
    def fill(self, weight: Tensor, key: str) -> None:
        """Copy a tensor into a parameter of the same shape."""
        weight.copy_(self.pop(key, weight.shape))

    def check_all_used(self) -> None:
        """Raise ArtifactError for tensors that nothing of the model takes."""
        if self.tensors:
            raise self.rejected(f"the model has no module for {min(self.tensors)}")
