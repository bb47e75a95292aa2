"""PEFT's directories of LoRA and prefixes: names and values, both ways.

    base_model.model.<module>.lora_A.weight              (r, in), and lora_B.weight (out, r)
    base_model.model.<module>.lora_magnitude_vector      (out,), of DoRA; without .weight
    base_model.model.<module>.lora_embedding_A           (r, ids), and lora_embedding_B
    prompt_embeddings                                    (n, 2 L G K): layer 0's keys, values, ...

Where files fuse modules, such as queries, keys and values, one LoRA of rank 3 r is all three.
A projected prefix is stored as its output, which PEFT and groundup open as a plain one.
Source: peft 0.21.2, utils/save_and_load.py, tuners/lora, tuners/prefix_tuning.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from groundup.core import ConfigError
from groundup.model import Transformer, choose_family, to_hf_rows

from .config import ALL_LINEAR, LoraConfig, PrefixConfig
from .lora import (
    EMBEDDING,
    Adaptable,
    LowRankUpdate,
    adaptable_modules,
    dense_weight,
    put_updates,
)
from .prefix import attach_prefix, key_width
from .selection import adapter_parts
from .source import ADAPTER_CONFIG, AdapterFiles, AdapterSource

PEFT_WEIGHTS = "adapter_model.safetensors"
PEFT_VERSION, PREFIX, PROMPT = "0.21.2", "base_model.model.", "prompt_embeddings"
TASKS = {"decoder": "CAUSAL_LM", "encoder": "FEATURE_EXTRACTION", "encoder_decoder": "SEQ_2_SEQ_LM"}
LORA_VALUES: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",), "bias": ("none",), "fan_in_fan_out": (False,), "lora_bias": (False,),
    "modules_to_save": (None, []), "layer_replication": (None,),
    "trainable_token_indices": (None, [], {}), "use_qalora": (False,), "use_bdlora": (None, False),
    "arrow_config": (None,), "velora_config": (None,), "monteclora_config": (None,),
    "alora_invocation_tokens": (None,), "kasa_config": (None,),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}  # fmt: skip
"""Keys that change what an adapter computes, or its base, and the values that are read; unknown
keys are ignored, as PEFT's own readers do."""
MIXTURES, EXPERT_NAMES = (
    ("deepseek_v2", "deepseek_v3", "qwen3_moe"), (".gate_proj", ".up_proj", ".down_proj"),
)  # fmt: skip
"""Families where PEFT takes targets of these names for experts of Transformers 4, so that dense and
shared layers are not `target_modules` but `target_parameters`, and the dropout is not written."""
Rows = dict[str, Tensor]
"""Which rows of a file's module each of groundup's is."""
PREFIX_VALUES = {"modules_to_save": (None, []), "num_transformer_submodules": (1, None)}


def write_lora(model: Transformer, name: str, config: LoraConfig) -> AdapterFiles:
    """The tensors and the configuration of a LoRA adapter.

    Raises ConfigError for a module without a name in the family's files, or in PEFT.
    """
    updates, modules = adapter_parts(model, name), _hf_rows(model)
    family = choose_family(model.config, first=model.family).name
    if missing := sorted(updates.keys() - {path for rows in modules.values() for path in rows}):
        what = f"{family} files transpose or repeat {missing[0]}"
        raise ConfigError(f"{what}, so that an adapter of it has no name there.")
    named = {
        module: _fuse_updates(rows, updates, dict(adaptable_modules(model)))
        for module, rows in modules.items()
        if rows.keys() & updates.keys()
    }
    tensors = {
        key: getattr(update, weight)
        for module, update in named.items()
        for weight, key in _lora_keys(module, config, modules[module]).items()
    }
    experts = [m for m in named if family in MIXTURES and m.endswith(EXPERT_NAMES)]
    if experts and config.dora:
        what = f"PEFT takes {experts[0]} of {family} for an expert's, of which it has no DoRA"
        raise ConfigError(f"{what}; choose other targets, or dora=false.")
    values = _shared_values(model, "LORA") | {
        "r": config.rank, "lora_alpha": config.alpha,
        "lora_dropout": 0.0 if experts else config.dropout,
        "use_rslora": config.rank_stabilised, "use_dora": config.dora,
        "target_modules": _shortest_targets(named.keys() - set(experts), modules),
        "target_parameters": [f"{module}.weight" for module in experts] or None,
        "rank_pattern": {m: u.rank for m, u in named.items() if u.rank != config.rank},
        "alpha_pattern": {m: u.alpha for m, u in named.items() if u.alpha != config.alpha},
        "bias": "none", "fan_in_fan_out": False, "init_lora_weights": True,
    }  # fmt: skip
    return tensors, values


def _shortest_targets(named: Collection[str], known: Collection[str]) -> list[str]:
    """The ends of these modules' names if they match no other, else the names."""
    ends = {module.rpartition(".")[2] for module in named}
    is_unique = set(named) == {module for module in known if module.rpartition(".")[2] in ends}
    return sorted(ends if is_unique else named)


class FusedUpdate(NamedTuple):
    """The update of a module that a family's files fuse of several."""

    A: Tensor
    B: Tensor
    magnitude: Tensor | None
    rank: int
    alpha: float


@torch.no_grad()
def _fuse_updates(
    rows: Rows, updates: Mapping[str, LowRankUpdate], bases: Mapping[str, Adaptable]
) -> LowRankUpdate | FusedUpdate:
    """One update of a file's module: A is stacked, and B has a block for each update."""
    own = {path: updates[path] for path in rows if path in updates}
    first = next(iter(own.values()))
    if len(rows) == 1:
        return first
    A = torch.cat([update.A for update in own.values()])
    blocks = torch.block_diag(*(u.B * (u.scale / first.scale) for u in own.values()))
    size, places = sum(map(len, rows.values())), torch.cat([rows[path] for path in own])
    B, magnitude = blocks.new_zeros(size, len(A)), None
    B[places] = blocks
    if first.magnitude is not None:
        magnitude = first.magnitude.new_empty(size)
        for path, place in rows.items():
            norms = own[path].magnitude if path in own else None
            if norms is None:
                norms = torch.linalg.vector_norm(dense_weight(bases[path]), dim=1)
            magnitude[place] = norms.to(magnitude)
    return FusedUpdate(A, B, magnitude, len(A), first.alpha * first.root(len(A)) / first.root())


def _shared_values(model: Transformer, kind: str) -> dict[str, Any]:
    values = {"peft_type": kind, "peft_version": PEFT_VERSION, "modules_to_save": None}
    return values | {"task_type": TASKS[model.config.kind], "inference_mode": True}


def _lora_keys(module: str, config: LoraConfig, rows: Rows) -> dict[str, str]:
    """The names in a file of an update's parameters."""
    if EMBEDDING in rows:
        return {each: f"{PREFIX}{module}.lora_embedding_{each}" for each in ("A", "B")}
    keys = {each: f"{PREFIX}{module}.lora_{each}.weight" for each in ("A", "B")}
    return keys | ({"magnitude": f"{PREFIX}{module}.lora_magnitude_vector"} if config.dora else {})


def _hf_rows(model: Transformer) -> dict[str, Rows]:
    """Hugging Face's modules, and the rows there of those that LoRA adapts: not of embeddings of an
    encoder–decoder, whose halves have a module each, and PEFT adapts a third that nothing calls.
    """
    sizes = {
        path: base.num_embeddings if isinstance(base, nn.Embedding) else base.out_features
        for path, base in adaptable_modules(model)
        if path != EMBEDDING or model.config.kind != "encoder_decoder"
    }
    return to_hf_rows(sizes, model.config, model.family)


def read_lora(source: AdapterSource) -> LoraConfig:
    """Attach the LoRA adapter of a PEFT directory."""
    model = source.model
    source.require_values(values := source.values, LORA_VALUES)
    if wrong := [p for p in values.get("target_parameters") or [] if not p.endswith(".weight")]:
        raise source.rejected(f"it adapts {wrong[0]}, and groundup's LoRA linear layers alone")
    source.read_tensors(PEFT_WEIGHTS)
    known, bases = _hf_rows(model), dict(adaptable_modules(model))
    pattern = re.compile(re.escape(PREFIX) + r"(.+)\.lora_(?:embedding_)?A(?:\.weight)?")
    matches = [match for key in source.tensors if (match := pattern.fullmatch(key))]
    modules = {match[1]: len(source.tensors[match[0]]) for match in matches}
    if unknown := sorted(modules.keys() - known.keys()):
        raise source.rejected(f"the model has no module {unknown[0]} that LoRA adapts")
    config = LoraConfig(
        rank=values.get("r", 8), alpha=values.get("lora_alpha", 8),
        dropout=values.get("lora_dropout", 0), dora=bool(values.get("use_dora")),
        rank_stabilised=bool(values.get("use_rslora")),
    )  # fmt: skip
    updates: dict[str, LowRankUpdate] = {}
    for module, rank in modules.items():
        alpha = _of_pattern(values.get("alpha_pattern"), module, config.alpha)
        said = _of_pattern(values.get("rank_pattern"), module, config.rank)
        if said != rank:
            raise source.rejected(f"{module} has rank {rank}, and {ADAPTER_CONFIG} says {said}")
        own = {path: bases[path] for path in known[module]}
        whole = LowRankUpdate(next(iter(own.values())), config, rank, alpha)
        keys = _lora_keys(module, config, known[module])
        if len(own) == 1:
            for weight, key in keys.items():
                source.fill(getattr(whole, weight), key)
            updates |= dict.fromkeys(own, whole)
        else:
            updates |= _read_fused(source, keys, whole, known[module], config)
        copy = source.tensors.pop(f"{PREFIX}{module}.base_layer.weight", None)  # of an embedding
        if copy is not None and not torch.equal(copy, next(iter(own.values())).weight.cpu()):
            raise source.rejected(f"it was saved with another {module}.weight than the model's")
    source.check_all_used()
    put_updates(model, source.name, updates, source.selection)
    is_all = updates.keys() == bases.keys() - {EMBEDDING}
    targets = (ALL_LINEAR,) if is_all else tuple(sorted(updates))
    return config.model_copy(update={"targets": targets})


@torch.no_grad()
def _read_fused(
    source: AdapterSource, keys: Mapping[str, str], whole: LowRankUpdate, rows: Rows,
    config: LoraConfig,
) -> dict[str, LowRankUpdate]:  # fmt: skip
    """The updates of what a file's module fuses, without the columns where their rows of B are 0.

    whole  has the file's rank and alpha
    """
    size, bases, updates = sum(map(len, rows.values())), dict(adaptable_modules(source.model)), {}
    A, B = source.pop(keys["A"], whole.A.shape), source.pop(keys["B"], (size, whole.rank))
    magnitude = source.pop(keys["magnitude"], (size,)) if config.dora else None
    for path, place in rows.items():
        columns = B[place].any(dim=0)
        if not columns.any():
            if B.any() and magnitude is None:
                continue
            columns = ~columns
        rank = int(columns.sum())
        alpha = whole.alpha * whole.root(rank) / whole.root()
        updates[path] = update = LowRankUpdate(bases[path], config, rank, alpha)
        update.A.copy_(A[columns])
        update.B.copy_(B[place][:, columns])
        if update.magnitude is not None and magnitude is not None:
            update.magnitude.copy_(magnitude[place])
    return updates


def _of_pattern(patterns: dict[str, Any] | None, module: str, default: float) -> Any:
    """The value of the first pattern that a module matches, as in PEFT."""
    found = (v for p, v in (patterns or {}).items() if re.match(rf"(.*\.)?({p})$", module))
    return next(found, default)


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
