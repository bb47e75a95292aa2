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

from .bottleneck import BOTTLENECK_ACTIVATIONS, attach_bottleneck
from .config import BottleneckConfig
from .selection import adapter_parts
from .source import AdapterFiles, AdapterSource

BOTTLENECK_WEIGHTS = "adapter.safetensors"
HUB_VERSION = "adapters.1.3.0"
STYLES: dict[Any, dict[str, Any]] = {
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
LAYERS = {"down": "adapter_down.0", "up": "adapter_up"}
ATTENTION = ".self_attn.q_proj"


def write_bottleneck(model: Transformer, name: str, config: BottleneckConfig) -> AdapterFiles:
    """The tensors and the configuration of a bottleneck adapter."""
    family = choose_family(model.config, first=model.family)
    own = {key: good[0] for key, good in FIXED_VALUES.items()} | STYLES[config.style]
    own |= {"reduction_factor": config.reduction, "non_linearity": config.activation}
    own |= {"scaling": config.scale, "dropout": config.dropout}
    own |= {"init_weights": "mam_adapter" if config.style == "parallel" else "bert"}
    values = {"config": own, "hidden_size": model.config.width, "model_type": family.name}
    values |= {"model_class": family.to_hf_config(model.config)["architectures"][0]}
    return _named_weights(model, name, name), values | {"name": name, "version": HUB_VERSION}


def _named_weights(model: Transformer, name: str, stored: str) -> dict[str, Tensor]:
    """The parameters of an adapter by their names in a file that calls it `stored`."""
    named: dict[str, Tensor] = {}
    for path, own in adapter_parts(model, name).items():
        block, _, place = path.rpartition(".")
        attention = to_hf_module(f"{block}.attention.q_proj", model.config, model.family)
        if not attention.endswith(ATTENTION):
            family = choose_family(model.config, first=model.family).name
            raise ConfigError(f"groundup does not know AdapterHub's names of modules in {family}.")
        outer = f"{attention.removesuffix(ATTENTION)}.{PLACES[place]}.adapters.{stored}"
        for parameter, weight in own.named_parameters():
            layer, _, kind = parameter.partition(".")
            named[f"{outer}.{LAYERS[layer]}.{kind}"] = weight
    return named


def read_bottleneck(source: AdapterSource) -> BottleneckConfig:
    """Attach the bottleneck adapter of an AdapterHub directory."""
    values = source.values.get("config")
    if not isinstance(values, dict) or values.get("architecture") is not None:
        raise source.rejected("it is neither a PEFT adapter nor an AdapterHub bottleneck")
    source.require_values(values, FIXED_VALUES | {"non_linearity": [*BOTTLENECK_ACTIVATIONS]})
    fits = (s for s, own in STYLES.items() if all(values.get(k) == v for k, v in own.items()))
    if (style := next(fits, None)) is None:
        raise source.rejected("its residuals and norms are in the places of no style of groundup's")
    config = BottleneckConfig(
        style=style, activation=values["non_linearity"], reduction=values["reduction_factor"],
        scale=values["scaling"], dropout=values.get("dropout", 0),
    )  # fmt: skip
    source.read_tensors(BOTTLENECK_WEIGHTS)
    model, name = source.model, source.name
    attach_bottleneck(model, name, config, source.selection)
    for key, weight in _named_weights(model, name, str(source.values.get("name", name))).items():
        source.fill(weight, key)
    source.check_all_used()
    return config
