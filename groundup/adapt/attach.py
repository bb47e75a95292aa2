"""Adapters of a model: attached under names, switched without reloading, removed.

    attach_adapter(model, LoraConfig(rank=8), "docs")     frozen base, the new adapter acts
    activate_adapter(model, None)                         the base exactly, such as a DPO reference
    activate_rows(model, ["docs", None, "law"])           one for each sequence of the next batches
    remove_adapter(model, "docs")                         the last one leaves the plain model

A switch concerns whole passes: with recomputation of activations the backward pass needs the
selection of its forward pass.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from torch import nn

from groundup.core import ConfigError
from groundup.kernels import QuantizedLinear
from groundup.model import Transformer

from .bottleneck import attach_bottleneck
from .config import AdapterConfig, BottleneckConfig, LoraConfig, PrefixConfig
from .lora import attach_lora
from .prefix import attach_prefix
from .selection import AdaptedModule, AdapterSelection

NAME = re.compile(r"[A-Za-z0-9_-]+")


class AdapterSize(NamedTuple):
    """What an adapter adds to a model."""

    name: str
    kind: str
    parameters: int
    bytes: int
    share: float
    """Of the base's parameters."""

    def __str__(self) -> str:
        """One line for people.

        >>> str(AdapterSize("docs", "lora", 1234, 4936, 0.0123))
        'docs (lora): 1,234 parameters, 1.2 % of the model, 4.8 KiB'
        """
        size = f"{self.bytes / 2**20:.1f} MiB" if self.bytes >= 2**20 else None
        size = size or f"{self.bytes / 2**10:.1f} KiB"
        count = f"{self.parameters:,} parameters, {100 * self.share:.1f} % of the model"
        return f"{self.name} ({self.kind}): {count}, {size}"


def attach_adapter(
    model: Transformer, config: AdapterConfig, name: str = "default", seed: int = 0
) -> AdapterSize:
    """Attach a new adapter and let it act; the base's weights are frozen.

    Raises ConfigError for a name in use, targets that the model lacks, and parts of a model that
    this kind of adapter does not support.
    """
    selection = reserve_name(model, name)
    if isinstance(config, LoraConfig):
        attach_lora(model, name, config, selection, seed)
    elif isinstance(config, PrefixConfig):
        attach_prefix(model, name, config, selection, seed)
    else:
        assert isinstance(config, BottleneckConfig), "a configuration is of one of these kinds"
        attach_bottleneck(model, name, config, selection, seed)
    return register_adapter(model, selection, name, config)


def reserve_name(model: Transformer, name: str) -> AdapterSelection:
    """The selection for one more adapter; ConfigError if the name is in use or invalid."""
    modules = adapted_modules(model)
    selection = next(iter(modules.values())).selection if modules else AdapterSelection()
    if not NAME.fullmatch(name):
        raise ConfigError(f"The adapter's name {name!r} may have letters, digits, _ and - only.")
    if name in selection.configs:
        raise ConfigError(f"The model has an adapter {name!r}; remove it, or choose another name.")
    if selection.merged is not None:
        raise ConfigError(f"The adapter {selection.merged!r} is merged; unmerge_adapter first.")
    return selection


def register_adapter(
    model: Transformer, selection: AdapterSelection, name: str, config: AdapterConfig, *,
    trainable: bool = True,
) -> AdapterSize:  # fmt: skip
    """Freeze the base and let an adapter whose modules are in place act."""
    selection.configs[name] = config
    own = {id(weight) for weight in adapter_parameters(model, name).values()}
    others = {id(p) for each in selection.configs for p in adapter_parameters(model, each).values()}
    for weight in model.parameters():
        if id(weight) in own:
            weight.requires_grad_(trainable)
        elif id(weight) not in others:
            weight.requires_grad_(False)
    activate_adapter(model, name)
    return adapter_size(model, name)


def adapted_modules(model: nn.Module) -> dict[str, AdaptedModule]:
    """The modules that adapters changed, by their names in the model."""
    modules = model.named_modules()
    return {path: module for path, module in modules if isinstance(module, AdaptedModule)}


def get_selection(model: nn.Module) -> AdapterSelection:
    """The adapters of a model and which of them act; ConfigError if it has none."""
    for module in model.modules():
        if isinstance(module, AdaptedModule):
            return module.selection
    raise ConfigError("The model has no adapters; attach_adapter or load_adapter first.")


def adapter_names(model: nn.Module) -> list[str]:
    """The names of a model's adapters, in the order of their attachment."""
    return list(get_selection(model).configs) if adapted_modules(model) else []


def activate_adapter(model: Transformer, name: str | None) -> None:
    """Let one adapter act on all sequences; None: the base alone."""
    selection = get_selection(model)
    selection.select(name)
    _update_positions(model, selection)


def activate_rows(model: Transformer, names: Sequence[str | None]) -> None:
    """Let an adapter (None: the base) act on each sequence of the following batches."""
    selection = get_selection(model)
    selection.select_rows(names)
    _update_positions(model, selection)


def _update_positions(model: Transformer, selection: AdapterSelection) -> None:
    configs = [selection.configs[group.name] for group in selection.groups]
    model.restarts_positions = any(isinstance(config, PrefixConfig) for config in configs)


@contextmanager
def adapter_off(model: Transformer) -> Iterator[None]:
    """The base within the block, such as the reference of a preference loss."""
    selection = get_selection(model)
    groups, batch = selection.groups, selection.batch
    activate_adapter(model, None)
    try:
        yield
    finally:
        selection.groups, selection.batch = groups, batch
        _update_positions(model, selection)


def remove_adapter(model: Transformer, name: str) -> None:
    """Remove an adapter; without any left the model is plain and its weights train again.

    What was merged stays in the weights.
    """
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
        for weight in model.parameters():
            weight.requires_grad_(True)


def discard_modules(model: nn.Module, name: str) -> None:
    """Take an adapter's modules away, and put originals back that have no adapters left."""
    for path, module in adapted_modules(model).items():
        if name in module.adapters:
            del module.adapters[name]
        if not module.adapters:
            _put_back(model, path, module)


def _put_back(model: nn.Module, path: str, module: AdaptedModule) -> None:
    """Put the original where an adapted module stands."""
    outer, _, leaf = path.rpartition(".")
    parent = model.get_submodule(outer)
    if module.base is not None and not isinstance(module.base, nn.Module):
        delattr(parent, leaf)  # a function cannot replace a module otherwise
    setattr(parent, leaf, module.base)


def adapter_parameters(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """The parameters of one adapter, by their names in the model."""
    return {
        path: weight for path, weight in model.named_parameters() if f".adapters.{name}." in path
    }


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by their names: an adapter's, or all without one."""
    return {path: weight for path, weight in model.named_parameters() if weight.requires_grad}


def adapter_size(model: Transformer, name: str) -> AdapterSize:
    """Parameters and memory of an adapter; print it to see them."""
    config = get_selection(model).require(name)
    weights = adapter_parameters(model, name).values()
    count = sum(weight.numel() for weight in weights)
    stored = sum(weight.numel() * weight.element_size() for weight in weights)
    return AdapterSize(name, config.kind, count, stored, count / base_parameters(model))


def base_parameters(model: nn.Module) -> int:
    """Number of the base's weights, packed ones too."""
    own = sum(p.numel() for path, p in model.named_parameters() if ".adapters." not in path)
    packed = (m for m in model.modules() if isinstance(m, QuantizedLinear))
    return own + sum(each.in_features * each.out_features for each in packed)
