"""Which adapter acts: one, none, or one for each sequence of a batch.

Every module that adapters change holds its original, the adapters by name, and the selection that
it shares with all others of the model. With nothing selected it calls its original alone, so a
model with its adapters off computes exactly what it computed before they were attached.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from groundup.core import ConfigError, ShapeError
from groundup.model import Adapted

from .config import AdapterConfig


class AdapterRows(NamedTuple):
    """The sequences of a batch that use an adapter: their indices, or None for all."""

    name: str
    rows: Tensor | None


class AdapterSelection:
    """The adapters of a model, by name, and those that act."""

    def __init__(self) -> None:
        self.configs: dict[str, AdapterConfig] = {}
        self.groups: list[AdapterRows] = []
        self.batch: int | None = None
        """Sequences that a batch must have; None: any number."""
        self.merged: str | None = None
        """The adapter that the weights contain."""
        self.originals: dict[str, Tensor] = {}
        """The weights before that, by module."""

    def require(self, name: str) -> AdapterConfig:
        """The configuration of an adapter; ConfigError if there is none of that name."""
        if name not in self.configs:
            known = ", ".join(self.configs) or "none"
            raise ConfigError(f"There is no adapter {name!r}; the model has: {known}.")
        return self.configs[name]

    def select(self, groups: list[AdapterRows], batch: int | None = None) -> None:
        """Let these adapters act; ConfigError for an unknown name, and while one is merged."""
        self.require_unmerged()
        for group in groups:
            self.require(group.name)
        self.groups, self.batch = groups, batch

    def require_unmerged(self) -> None:
        """Raise ConfigError if the weights contain an adapter."""
        if self.merged is not None:
            what = f"The adapter {self.merged!r} is merged into the weights"
            raise ConfigError(f"{what}; call unmerge_adapter first.")


class AdaptedModule(Adapted):
    """What stands in the place of a module: the original and its adapters."""

    def __init__(self, base: Any, selection: AdapterSelection) -> None:
        super().__init__()
        self.base, self.adapters, self.selection = base, nn.ModuleDict(), selection

    def acting(self, sequences: int) -> Iterator[tuple[Any, Tensor | None]]:
        """The selected adapters that this module has, and the sequences that each acts on."""
        batch = self.selection.batch
        if batch not in (None, sequences):
            what = f"Adapters were selected for {batch} sequences; the batch has {sequences}"
            raise ShapeError(f"{what}: call activate_rows for each batch.")
        for name, rows in self.selection.groups:
            if name in self.adapters:
                yield self.adapters[name], rows


def adapted_modules(model: nn.Module) -> dict[str, AdaptedModule]:
    """The modules that adapters changed, by their names in the model."""
    modules = model.named_modules()
    return {path: module for path, module in modules if isinstance(module, AdaptedModule)}


def adapter_parts(model: nn.Module, name: str) -> dict[str, Any]:
    """What an adapter has in each module that it changes, by the module's name."""
    modules = adapted_modules(model).items()
    return {path: module.adapters[name] for path, module in modules if name in module.adapters}


def add_update(out: Tensor, update: Tensor, rows: Tensor | None) -> Tensor:
    """Add an adapter's update to all sequences, or to some."""
    if rows is None:
        return out + update
    exact = torch.promote_types(out.dtype, update.dtype)
    return out.to(exact).index_add(0, rows.to(out.device), update.to(exact))


def select_sequences(x: Tensor, rows: Tensor | None) -> Tensor:
    """These sequences of a batch; all without indices."""
    return x if rows is None else x[rows.to(x.device)]
