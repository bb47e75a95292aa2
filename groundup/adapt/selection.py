"""Which adapter acts: one, none, or one for each sequence of a batch.

Every module that adapters change holds its original, the adapters by name, and the selection that
it shares with all others of the model. With nothing selected it calls its original alone, so a
model with its adapters off computes exactly what it computed before they were attached.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from groundup.core import ConfigError, ShapeError
from groundup.model import Adapted

from .config import AdapterConfig


class AdapterRows(NamedTuple):
    """Sequences of a batch that use one adapter."""

    name: str
    rows: Tensor | None
    """Their indices; None: all."""


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

    def select(self, name: str | None) -> None:
        """Let one adapter act on all sequences, or none."""
        self._check_merged(name)
        if name is not None:
            self.require(name)
        self.groups, self.batch = ([] if name is None else [AdapterRows(name, None)]), None

    def select_rows(self, names: Sequence[str | None]) -> None:
        """Let an adapter act on each sequence of a batch."""
        for name in names:
            if name is not None:
                self.require(name)
        self._check_merged(next(iter(names), None))
        rows = {name: [i for i, each in enumerate(names) if each == name] for name in names}
        self.groups = [AdapterRows(n, torch.tensor(r)) for n, r in rows.items() if n is not None]
        self.batch = len(names)

    def _check_merged(self, name: str | None) -> None:
        if self.merged is not None:
            what = f"The adapter {self.merged!r} is merged into the weights"
            raise ConfigError(f"{what}; unmerge_adapter before {name!r} is selected.")

    def check_batch(self, sequences: int) -> None:
        """Raise ShapeError unless a batch has the selected number of sequences."""
        if self.batch not in (None, sequences):
            what = f"Adapters were selected for {self.batch} sequences; the batch has {sequences}"
            raise ShapeError(f"{what}: call activate_rows for each batch.")


class AdaptedModule(Adapted):
    """What stands in the place of a module: the original and its adapters."""

    def __init__(self, base: Any, selection: AdapterSelection) -> None:
        super().__init__()
        self.base = base
        self.adapters, self.selection = nn.ModuleDict(), selection

    def acting(self, sequences: int) -> Iterator[tuple[Any, Tensor | None]]:
        """The selected adapters that this module has, and the sequences that each acts on."""
        if not self.selection.groups:
            return
        self.selection.check_batch(sequences)
        for name, rows in self.selection.groups:
            if name in self.adapters:
                yield self.adapters[name], rows


def add_update(out: Tensor, update: Tensor, rows: Tensor | None) -> Tensor:
    """Add an adapter's update to all sequences, or to some."""
    if rows is None:
        return out + update
    exact = torch.promote_types(out.dtype, update.dtype)
    return out.to(exact).index_add(0, rows.to(out.device), update.to(exact))


def select_sequences(x: Tensor, rows: Tensor | None) -> Tensor:
    """These sequences of a batch; all without indices."""
    return x if rows is None else x[rows.to(x.device)]
