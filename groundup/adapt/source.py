"""An adapter's directory while it is read: each tensor expected, of the right shape, used once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundup.core import ArtifactError
from groundup.model import Transformer, choose_family, read_json_object, read_safetensors

ADAPTER_CONFIG = "adapter_config.json"
PICKLES = ("adapter_model.bin", "pytorch_adapter.bin")
MAX_LISTED = 4


class AdapterSource:
    """The values and tensors of an adapter for a model."""

    def __init__(self, path: Path, model: Transformer, base: Path | None) -> None:
        """Read adapter_config.json.

        base  the model's directory, named in errors
        """
        self.path, self.values = path, read_json_object(path / ADAPTER_CONFIG)
        self.tensors: dict[str, Tensor] = {}
        config = model.config
        own = f"{choose_family(config).name} of {config.layers} layers and width {config.width}"
        self.model = f"{base} ({own})" if base is not None else f"this model ({own})"

    @property
    def adapted_model(self) -> str:
        """What the directory says that it adapts."""
        for key in ("base_model_name_or_path", "model_name"):
            if self.values.get(key):
                return str(self.values[key])
        return "an unnamed model"

    def rejected(self, why: str) -> ArtifactError:
        """The error that the adapter does not fit, which names both models."""
        return ArtifactError(
            f"{self.path}, an adapter of {self.adapted_model}, does not fit {self.model}: {why}."
        )

    def read_tensors(self, file: str) -> None:
        """Read a safetensors file; ArtifactError if there is a pickle in its place."""
        for name in PICKLES:
            if not (self.path / file).is_file() and (self.path / name).is_file():
                what = f"{self.path / name} is a pickle, which can execute code when opened"
                raise ArtifactError(f"{what}; write the adapter as safetensors.")
        self.tensors = read_safetensors(self.path / file)

    def require_values(
        self, allowed: Mapping[str, Sequence[Any]], values: Mapping[str, Any]
    ) -> None:
        """Raise ArtifactError for a value that changes what the adapter computes."""
        for key, good in allowed.items():
            if key in values and values[key] not in good:
                what = f"{self.path / ADAPTER_CONFIG} has {key}={str(values[key])[:60]}"
                raise ArtifactError(f"{what}; groundup supports {key}={good[0]!r}.")

    def number(self, key: str, values: Mapping[str, Any], default: float = 0.0) -> float:
        """A number of the configuration, 0 or more."""
        value = values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            what = f"{self.path / ADAPTER_CONFIG} has {key}={value!r}"
            raise ArtifactError(f"{what}; expected a number, 0 or more.")
        return value

    def take(self, key: str, shape: Sequence[int]) -> Tensor:
        """Remove and return a tensor; ArtifactError if it is missing, misshapen or not finite."""
        if key not in self.tensors:
            raise self.rejected(f"it has no tensor {key}")
        tensor = self.tensors.pop(key)
        if tuple(tensor.shape) != tuple(shape):
            raise self.rejected(
                f"{key} is {tuple(tensor.shape)} and the model needs {tuple(shape)}"
            )
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise self.rejected(f"{key} has values that are not finite numbers")
        return tensor

    @torch.no_grad()
    def fill(self, weight: nn.Parameter, key: str) -> None:
        """Copy a tensor into a parameter of the same shape."""
        weight.copy_(self.take(key, weight.shape))

    def check_all_used(self) -> None:
        """Raise ArtifactError for tensors that nothing of the model takes."""
        if self.tensors:
            listed = ", ".join(sorted(self.tensors)[:MAX_LISTED])
            more = len(self.tensors) - MAX_LISTED
            listed += f" and {more} more" if more > 0 else ""
            raise self.rejected(f"the model has no module for {listed}")
