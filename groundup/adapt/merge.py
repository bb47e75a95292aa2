"""Merge an adapter into the weights: the same function without the adapter's cost.

Sums are computed in float32 or better and rounded once to the base's dtype. `merge_adapter` keeps
the original weights, so `unmerge_adapter` restores them bit for bit; `merge` writes a model.
"""

import shutil
from pathlib import Path

import torch
from torch import Tensor

from groundup.core import (
    MANIFEST,
    Artifact,
    Config,
    ConfigError,
    Draft,
    digest,
    hash_file,
    produce,
    record,
    write_json,
)
from groundup.kernels import QuantizedLinear
from groundup.model import Transformer, load, load_to_train, read_json_object, save

from .attach import activate_adapter, get_selection, remove_adapter
from .config import LoraConfig
from .files import ADAPTER_FILES, CHAT_TEMPLATE, GENERATION_CONFIG, load_adapter
from .lora import EMBEDDING, Adaptable, LowRankUpdate, adaptable_modules
from .selection import adapter_parts


class MergeConfig(Config):
    """How to merge an adapter into a model."""

    dequantize: bool = False
    """Write the weights of a packed model as floats; otherwise such a model is refused."""
    source_digest: str = ""
    """Hash of the adapter's files; set by the stage."""


def merge(config: MergeConfig, model: Artifact, adapter: Path, out: Path) -> Artifact:
    """Merge an adapter into the model that it was trained on, with its tokenizer.

    adapter  an adapter of ours, or a PEFT directory of LoRA

    Raises ArtifactError if the adapter is another model's; ConfigError if it cannot be merged: a
    prefix, a bottleneck, a packed base, or an update of tied embeddings.
    """
    adapter = Path(adapter)
    parents = {"model": model}
    if (adapter / MANIFEST).is_file():
        parents["adapter"] = Artifact.open(adapter, kind="adapter")
    files = [adapter / name for name in ADAPTER_FILES if (adapter / name).is_file()]
    source = digest({file.name: hash_file(file) for file in files})
    return produce(
        out, kind="model", stage="merge", version=1, parents=parents,
        config=config.model_copy(update={"source_digest": source}),
        write=lambda draft: _write_merged(draft, model.path, adapter, config),
    )  # fmt: skip


def _write_merged(draft: Draft, path: Path, adapter: Path, config: MergeConfig) -> None:
    model = load_to_train(path) if config.dequantize else load(path)
    size = load_adapter(model, adapter, base=path)
    merge_adapter(model, "default")
    remove_adapter(model, "default")
    save(model, draft.path, path)
    _copy_chat_format(adapter, draft.path)
    draft.numbers |= {"adapter_parameters": size.parameters, "adapter_bytes": size.bytes}
    record.log(f"Merged {size}.")


def _copy_chat_format(adapter: Path, model: Path) -> None:
    """Copy the chat template and the ends of answers that an adapter was trained with."""
    if (adapter / CHAT_TEMPLATE).is_file():
        shutil.copyfile(adapter / CHAT_TEMPLATE, model / CHAT_TEMPLATE)
    file, key = adapter / GENERATION_CONFIG, "eos_token_id"
    if file.is_file() and (ends := read_json_object(file).get(key)) is not None:
        for name in (GENERATION_CONFIG, "config.json"):
            write_json(model / name, read_json_object(model / name) | {key: ends})


@torch.no_grad()
def merge_adapter(model: Transformer, name: str) -> None:
    """Add an adapter's updates to the weights, which are kept; ConfigError if that cannot be."""
    selection = get_selection(model)
    selection.require_unmerged()
    config = selection.require(name)
    if not isinstance(config, LoraConfig):
        what = f"{name!r} is a {config.kind} adapter, which is no update of weights"
        raise ConfigError(f"{what} and cannot be merged; keep it attached.")
    updates, bases = adapter_parts(model, name), dict(adaptable_modules(model))
    merged = {p: _merged_weight(model, p, bases[p], update) for p, update in updates.items()}
    for path, weight in merged.items():
        selection.originals[path], bases[path].weight.data = bases[path].weight.data, weight
    activate_adapter(model, None)
    selection.merged = name


def _merged_weight(model: Transformer, path: str, base: Adaptable, update: LowRankUpdate) -> Tensor:
    if isinstance(base, QuantizedLinear):
        what = f"{path} is packed in {base.bits} bits, which an update would have to be rounded to"
        raise ConfigError(f"{what}; merge into the original, or here with --set dequantize=true.")
    if path == EMBEDDING and model.lm_head is None:
        what = "embed_tokens is tied to the head, which the adapter does not change"
        raise ConfigError(f"{what}; keep the adapter attached, or leave out that target.")
    weight = update.merged_weight(base).to(base.weight.dtype)
    if not weight.isfinite().all():
        raise ConfigError(f"The merged weight of {path} is not finite; the adapter is damaged.")
    return weight


def unmerge_adapter(model: Transformer) -> None:
    """Restore the weights that the merged adapter changed, bit for bit, and let it act."""
    selection = get_selection(model)
    if (name := selection.merged) is None:
        raise ConfigError("No adapter is merged.")
    for path, base in adaptable_modules(model):
        if path in selection.originals:
            base.weight.data = selection.originals.pop(path)
    selection.merged = None
    activate_adapter(model, name)
