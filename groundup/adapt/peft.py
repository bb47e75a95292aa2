"""PEFT's directories of LoRA and prefixes: names and values, both ways.

    base_model.model.<module>.lora_A.weight              (r, in), and lora_B.weight (out, r)
    base_model.model.<module>.lora_magnitude_vector      (out,), of DoRA; without .weight
    base_model.model.<module>.lora_embedding_A           (r, ids), and lora_embedding_B
    prompt_embeddings                                    (n, 2 L G K): layer 0's keys, values, ...

A projected prefix is stored as its output, which PEFT and groundup open as a plain one.
Source: peft 0.21.2, utils/save_and_load.py, tuners/lora, tuners/prefix_tuning.
"""

import re
from typing import Any

import torch

from groundup.model import Transformer, to_hf_module

from .config import ALL_LINEAR, LoraConfig, PrefixConfig
from .lora import EMBEDDING, LowRankUpdate, adaptable_modules, put_updates
from .prefix import attach_prefix, key_width
from .selection import adapter_parts
from .source import ADAPTER_CONFIG, AdapterFiles, AdapterSource

PEFT_WEIGHTS = "adapter_model.safetensors"
PEFT_VERSION, PREFIX, PROMPT = "0.21.2", "base_model.model.", "prompt_embeddings"
TASKS = {"decoder": "CAUSAL_LM", "encoder": "FEATURE_EXTRACTION", "encoder_decoder": "SEQ_2_SEQ_LM"}
LORA_VALUES: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",), "bias": ("none",), "fan_in_fan_out": (False,), "lora_bias": (False,),
    "modules_to_save": (None, []), "layer_replication": (None,), "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}), "use_qalora": (False,), "use_bdlora": (None, False),
    "arrow_config": (None,), "velora_config": (None,), "monteclora_config": (None,),
    "alora_invocation_tokens": (None,), "kasa_config": (None,),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}  # fmt: skip
"""Keys that change what an adapter computes, or its base, and the values that are read; unknown
keys are ignored, as PEFT's own readers do."""
PREFIX_VALUES = {"modules_to_save": (None, []), "num_transformer_submodules": (1, None)}


def write_lora(model: Transformer, name: str, config: LoraConfig) -> AdapterFiles:
    """The tensors and the configuration of a LoRA adapter."""
    updates, names = adapter_parts(model, name), _hf_names(model)
    named = {module: updates[path] for module, path in names.items() if path in updates}
    ends = {module.rpartition(".")[2] for module in named}  # enough if they match nothing else
    is_unique = named.keys() == {module for module in names if module.rpartition(".")[2] in ends}
    tensors = {
        key: getattr(update, weight)
        for module, update in named.items()
        for weight, key in _lora_keys(module, update, names[module]).items()
    }
    values = _shared_values(model, "LORA") | {
        "r": config.rank, "lora_alpha": config.alpha, "lora_dropout": config.dropout,
        "use_rslora": config.rank_stabilised, "use_dora": config.dora,
        "target_modules": sorted(ends if is_unique else named),
        "rank_pattern": {m: u.rank for m, u in named.items() if u.rank != config.rank},
        "alpha_pattern": {m: u.alpha for m, u in named.items() if u.alpha != config.alpha},
        "bias": "none", "fan_in_fan_out": False, "init_lora_weights": True,
    }  # fmt: skip
    return tensors, values


def _shared_values(model: Transformer, kind: str) -> dict[str, Any]:
    values = {"peft_type": kind, "peft_version": PEFT_VERSION, "modules_to_save": None}
    return values | {"task_type": TASKS[model.config.kind], "inference_mode": True}


def _lora_keys(module: str, update: LowRankUpdate, path: str) -> dict[str, str]:
    """The names in a file of an update's parameters."""
    if path == EMBEDDING:
        return {each: f"{PREFIX}{module}.lora_embedding_{each}" for each in ("A", "B")}
    keys = {each: f"{PREFIX}{module}.lora_{each}.weight" for each in ("A", "B")}
    if update.magnitude is not None:
        keys["magnitude"] = f"{PREFIX}{module}.lora_magnitude_vector"
    return keys


def _hf_names(model: Transformer) -> dict[str, str]:
    """Hugging Face's names of the modules that LoRA adapts, and ours."""
    return {to_hf_module(path, model.config): path for path, _ in adaptable_modules(model)}


def read_lora(source: AdapterSource) -> LoraConfig:
    """Attach the LoRA adapter of a PEFT directory."""
    model = source.model
    source.require_values(values := source.values, LORA_VALUES)
    source.read_tensors(PEFT_WEIGHTS)
    known, bases = _hf_names(model), dict(adaptable_modules(model))
    pattern = re.compile(re.escape(PREFIX) + r"(.+)\.lora_(?:embedding_)?A(?:\.weight)?")
    matches = [match for key in source.tensors if (match := pattern.fullmatch(key))]
    modules = {match[1]: len(source.tensors[match[0]]) for match in matches}
    if unknown := sorted(modules.keys() - known.keys()):
        raise source.rejected(f"the model has no module {unknown[0]} that LoRA adapts")
    paths = {known[module] for module in modules}
    targets = (ALL_LINEAR,) if paths == {*known.values()} - {EMBEDDING} else tuple(sorted(paths))
    config = LoraConfig(
        rank=values.get("r", 8), alpha=values.get("lora_alpha", 8),
        dropout=values.get("lora_dropout", 0), dora=bool(values.get("use_dora")),
        rank_stabilised=bool(values.get("use_rslora")), targets=targets,
    )  # fmt: skip
    updates: dict[str, LowRankUpdate] = {}
    for module, own_rank in modules.items():
        alpha = _of_pattern(values.get("alpha_pattern"), module)
        said = _of_pattern(values.get("rank_pattern"), module) or config.rank
        if said != own_rank:
            raise source.rejected(f"{module} has rank {own_rank}, and {ADAPTER_CONFIG} says {said}")
        base = bases[path := known[module]]
        updates[path] = update = LowRankUpdate(base, config, own_rank, alpha)
        for weight, key in _lora_keys(module, update, path).items():
            source.fill(getattr(update, weight), key)
        copy = source.tensors.pop(f"{PREFIX}{module}.base_layer.weight", None)  # of an embedding
        if copy is not None and not torch.equal(copy, base.weight.cpu()):
            raise source.rejected(f"it was saved with another {module}.weight than the model's")
    source.check_all_used()
    put_updates(model, source.name, updates, source.selection)
    return config


def _of_pattern(patterns: dict[str, Any] | None, module: str) -> Any:
    """The value of the first pattern that a module matches, as in PEFT; None without one."""
    found = (v for p, v in (patterns or {}).items() if re.match(rf"(.*\.)?({p})$", module))
    return next(found, None)


def write_prefix(model: Transformer, name: str) -> AdapterFiles:
    """The tensors and the configuration of a prefix."""
    layers, width = [*adapter_parts(model, name).values()], key_width(model.config)
    values = _shared_values(model, "PREFIX_TUNING") | {
        "num_virtual_tokens": layers[0].length, "num_layers": len(layers), "token_dim": width,
        "num_attention_heads": model.config.attention.kv_heads, "encoder_hidden_size": width,
        "num_transformer_submodules": 1, "prefix_projection": False,
    }  # fmt: skip
    return {PROMPT: torch.cat([layer.flat() for layer in layers], dim=1)}, values


def read_prefix(source: AdapterSource) -> PrefixConfig:
    """Attach the prefix of a PEFT directory."""
    model = source.model
    source.require_values(source.values, PREFIX_VALUES)
    source.read_tensors(PEFT_WEIGHTS)
    config = PrefixConfig(length=source.values.get("num_virtual_tokens", 0))
    size = 2 * key_width(model.config)
    flat = source.pop(PROMPT, (config.length, size * model.config.layers))
    source.check_all_used()
    attach_prefix(model, source.name, config, source.selection)
    with torch.no_grad():
        tables = flat.split(size, dim=1)
        for layer, table in zip(adapter_parts(model, source.name).values(), tables, strict=True):
            layer.table.weight.copy_(table)
    return config
