"""AdapterHub's directories of bottleneck adapters: names and values, both ways.

    <layer>.attention_adapters.adapters.<name>.adapter_down.0.weight      (D / reduction, D)
    <layer>.output_adapters.adapters.<name>.adapter_up.weight             (D, D / reduction)

and their biases, where <layer> is model.layers.0 in LLaMA and its kin, the families that both
libraries adapt in the same places. Written with `save_adapter(…, use_safetensors=True)` there.
Source: adapters 1.3.0, methods/bottleneck.py, methods/modeling.py, loading.py.
"""

from typing import Any

from torch import Tensor

from groundup.core import ConfigError
from groundup.model import Transformer, choose_family, to_hf_module

from .bottleneck import BOTTLENECK_ACTIVATIONS, attach_bottleneck, bottlenecks
from .config import BottleneckConfig
from .selection import AdapterSelection
from .source import AdapterSource

BOTTLENECK_WEIGHTS = "adapter.safetensors"
HUB_VERSION = "adapters.1.3.0"
STYLES: dict[str, dict[str, Any]] = {
    "houlsby": {"mh_adapter": True, "is_parallel": False, "original_ln_before": False},
    "pfeiffer": {"mh_adapter": False, "is_parallel": False, "original_ln_before": True},
    "parallel": {"mh_adapter": False, "is_parallel": True, "original_ln_before": False},
}  # fmt: skip
"""AdapterHub's switches of each style."""
FIXED_VALUES: dict[str, tuple[Any, ...]] = {
    "output_adapter": (True,), "original_ln_after": (True,), "ln_before": (False,),
    "ln_after": (False,), "residual_before_ln": (True,), "adapter_residual_before_ln": (False,),
    "use_gating": (False,), "cross_adapter": (False,), "phm_layer": (False,),
    "inv_adapter": (None,), "leave_out": ([], None), "stochastic_depth": (0.0, None),
}  # fmt: skip
"""Values that all three have; others compute something else."""
PLACES = {"attention_adapter": "attention_adapters", "feedforward_adapter": "output_adapters"}
ENDS = {"down": "adapter_down.0", "up": "adapter_up"}
ATTENTION = ".self_attn.q_proj"


def write_bottleneck(
    model: Transformer, name: str, config: BottleneckConfig
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the configuration of a bottleneck adapter."""
    tensors = {
        f"{key}.{kind}": getattr(getattr(own, layer), kind)
        for path, own in bottlenecks(model, name).items()
        for layer, key in _file_names(model, path, name).items()
        for kind in ("weight", "bias")
    }
    full, family = config.resolved(), choose_family(model.config)
    own = {key: good[0] for key, good in FIXED_VALUES.items()} | STYLES[config.style]
    own |= {"reduction_factor": full.reduction, "non_linearity": full.activation}
    own |= {"scaling": full.scale, "dropout": full.dropout}
    own |= {"init_weights": "mam_adapter" if config.style == "parallel" else "bert"}
    values = {
        "config": own,
        "hidden_size": model.config.width,
        "model_class": family.to_hf_config(model.config)["architectures"][0],
        "model_type": family.name,
        "name": name,
        "version": HUB_VERSION,
    }
    return tensors, values


def _file_names(model: Transformer, path: str, name: str) -> dict[str, str]:
    """The names in a file of the two layers of a bottleneck."""
    layer, _, place = path.rpartition(".")
    attention = to_hf_module(f"{layer}.attention.q_proj", model.config)
    if not attention.endswith(ATTENTION):
        family = choose_family(model.config).name
        raise ConfigError(f"AdapterHub's files have no names that groundup knows for {family}.")
    outer = f"{attention.removesuffix(ATTENTION)}.{PLACES[place]}.adapters.{name}"
    return {layer: f"{outer}.{end}" for layer, end in ENDS.items()}


def read_bottleneck(
    model: Transformer, name: str, source: AdapterSource, selection: AdapterSelection
) -> BottleneckConfig:
    """Attach the bottleneck adapter of an AdapterHub directory."""
    values = source.values.get("config")
    if not isinstance(values, dict) or values.get("architecture") is not None:
        raise source.rejected("it is neither a PEFT adapter nor an AdapterHub bottleneck")
    source.require_values(values, FIXED_VALUES | {"non_linearity": [*BOTTLENECK_ACTIVATIONS]})
    config = BottleneckConfig(
        style=_read_style(source, values), activation=values.get("non_linearity"),
        reduction=source.number(values, "reduction_factor"),
        scale=source.number(values, "scaling", 1.0), dropout=source.number(values, "dropout", 0),
    )  # fmt: skip
    source.read_tensors(BOTTLENECK_WEIGHTS)
    stored = str(source.values.get("name", name))
    attach_bottleneck(model, name, config, selection)
    for path, own in bottlenecks(model, name).items():
        for layer, key in _file_names(model, path, stored).items():
            source.fill(getattr(own, layer).weight, f"{key}.weight")
            source.fill(getattr(own, layer).bias, f"{key}.bias")
    source.check_all_used()
    return config


def _read_style(source: AdapterSource, values: dict[str, Any]) -> Any:
    """The style whose places and residuals a configuration has."""
    for style, switches in STYLES.items():
        if all(values.get(key) == value for key, value in switches.items()):
            return style
    raise source.rejected("its residuals and norms are in the places of no style of groundup's")
