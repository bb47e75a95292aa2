"""Adapters of a model: attached under names, switched without reloading, removed.

    attach_adapter(model, LoraConfig(rank=8), "docs")     frozen base, the new adapter acts
    activate_adapter(model, None)                         the base exactly, such as a DPO reference
    activate_rows(model, ["docs", None, "law"])           one for each sequence of the next batches
    remove_adapter(model, "docs")                         the last one leaves the plain model

A switch must not come between a forward pass and its backward pass, which may recompute it.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from groundup.core import ConfigError
from groundup.model import Transformer

from .bottleneck import attach_bottleneck
from .config import AdapterConfig, LoraConfig, PrefixConfig
from .lora import attach_lora
from .prefix import attach_prefix
from .selection import AdapterRows, AdapterSelection, adapted_modules


class AdapterSize(NamedTuple):
    """What an adapter adds to a model."""

    name: str
    kind: str
    parameters: int
    bytes: int

    def __str__(self) -> str:
        """One line for people.

        >>> print(AdapterSize("docs", "lora", 1234, 4936))
        docs (lora): 1,234 parameters, 0.005 MiB
        """
        count, size = f"{self.parameters:,} parameters", f"{self.bytes / 2**20:.3f} MiB"
        return f"{self.name} ({self.kind}): {count}, {size}"


def attach_adapter(
    model: Transformer, config: AdapterConfig, name: str = "default", seed: int = 0
) -> AdapterSize:
    """Attach a new adapter, let it act and freeze the base's weights.

    Raises ConfigError for a name in use, and for targets or places that the model lacks.
    """
    selection = reserve_name(model, name)
    with torch.random.fork_rng(devices=[]):  # drawn on the CPU: every device gets the same
        torch.default_generator.manual_seed(seed)
        if isinstance(config, LoraConfig):
            attach_lora(model, name, config, selection)
        elif isinstance(config, PrefixConfig):
            attach_prefix(model, name, config, selection)
        else:
            attach_bottleneck(model, name, config, selection)
    return register_adapter(model, selection, name, config)


def reserve_name(model: Transformer, name: str) -> AdapterSelection:
    """The selection for one more adapter; ConfigError if the name is in use or invalid."""
    selection = get_selection(model) if adapted_modules(model) else AdapterSelection()
    selection.require_unmerged()
    if name in selection.configs or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        why = "is in use" if name in selection.configs else "has other than letters, digits, _, -"
        raise ConfigError(f"The adapter's name {name!r} {why}; choose another.")
    return selection


def register_adapter(
    model: Transformer, selection: AdapterSelection, name: str, config: AdapterConfig, *,
    trainable: bool = True,
) -> AdapterSize:  # fmt: skip
    """Freeze the base and let an adapter whose modules are in place act."""
    selection.configs[name] = config
    for path, weight in model.named_parameters():
        if ".adapters." not in path:
            weight.requires_grad_(False)
        elif f".adapters.{name}." in path:
            weight.requires_grad_(trainable)
    activate_adapter(model, name)
    return adapter_sizes(model)[-1]


def get_selection(model: nn.Module) -> AdapterSelection:
    """The adapters of a model and which of them act; ConfigError if it has none."""
    for module in adapted_modules(model).values():
        return module.selection
    raise ConfigError("The model has no adapters; attach_adapter or load_adapter first.")


def activate_adapter(model: Transformer, name: str | None) -> None:
    """Let one adapter act on all sequences; None: the base alone."""
    _select(model, [] if name is None else [AdapterRows(name, None)])


def activate_rows(model: Transformer, names: Sequence[str | None]) -> None:
    """Let an adapter (None: the base) act on each sequence of the following batches."""
    distinct = [name for name in dict.fromkeys(names) if name is not None]
    rows = {name: [i for i, each in enumerate(names) if each == name] for name in distinct}
    groups = [AdapterRows(name, torch.tensor(own)) for name, own in rows.items()]
    _select(model, groups, len(names))


def _select(model: Transformer, groups: list[AdapterRows], batch: int | None = None) -> None:
    selection = get_selection(model)
    selection.select(groups, batch)
    configs = [selection.configs[group.name] for group in groups]
    model.restarts_positions = any(isinstance(config, PrefixConfig) for config in configs)


@contextmanager
def adapter_off(model: Transformer) -> Iterator[None]:
    """The base within the block, such as the reference of a preference loss."""
    groups, batch = (selection := get_selection(model)).groups, selection.batch
    activate_adapter(model, None)
    try:
        yield
    finally:
        _select(model, groups, batch)


def remove_adapter(model: Transformer, name: str) -> None:
    """Remove an adapter (what is merged stays); without any left the model is plain and trains."""
    selection = get_selection(model)
    selection.require(name)
    if selection.merged == name:
        selection.merged = None
        selection.originals.clear()
    elif name in [group.name for group in selection.groups]:
        activate_adapter(model, None)
    discard_modules(model, name)
    del selection.configs[name]
    if not selection.configs:
        model.requires_grad_(True)


def discard_modules(model: nn.Module, name: str) -> None:
    """Take an adapter's modules away, and put originals back that have no adapters left."""
    for path, module in adapted_modules(model).items():
        if name in module.adapters:
            del module.adapters[name]
        if not module.adapters:
            outer, _, leaf = path.rpartition(".")
            parent = model.get_submodule(outer)
            if module.base is not None and not isinstance(module.base, nn.Module):
                delattr(parent, leaf)  # a function cannot replace a module otherwise
            setattr(parent, leaf, module.base)


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by their names: an adapter's, or all without one."""
    return {path: weight for path, weight in model.named_parameters() if weight.requires_grad}


def adapter_sizes(model: Transformer) -> list[AdapterSize]:
    """Parameters and memory of each adapter; print them to see them."""
    sizes = []
    for name, config in get_selection(model).configs.items():
        own = [weight for path, weight in model.named_parameters() if f".adapters.{name}." in path]
        count, stored = sum(p.numel() for p in own), sum(p.nbytes for p in own)
        sizes.append(AdapterSize(name, config.kind, count, stored))
    return sizes
