"""Adapt: small trained parts that change a frozen model, as transforms of its modules.

LoRA, prefixes and bottleneck adapters are attached under names, switched or mixed in one batch
without reloading, merged, and stored in the formats of PEFT and AdapterHub.
"""

from .attach import (
    AdapterSize,
    activate_adapter,
    activate_rows,
    adapter_off,
    adapter_sizes,
    attach_adapter,
    remove_adapter,
    trainable_parameters,
)
from .config import AdapterConfig, BottleneckConfig, LoraConfig, PrefixConfig
from .files import load_adapter, save_adapter
from .merge import MergeConfig, merge, merge_adapter, unmerge_adapter
from .opening import base_of, load_adapted

__all__ = [
    "AdapterConfig",
    "AdapterSize",
    "BottleneckConfig",
    "LoraConfig",
    "MergeConfig",
    "PrefixConfig",
    "activate_adapter",
    "activate_rows",
    "adapter_off",
    "adapter_sizes",
    "attach_adapter",
    "base_of",
    "load_adapted",
    "load_adapter",
    "merge",
    "merge_adapter",
    "remove_adapter",
    "save_adapter",
    "trainable_parameters",
    "unmerge_adapter",
]
