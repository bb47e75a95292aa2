"""Training an adapter in place of the weights: how a stage begins with one and saves it.

--adapter lora       a new adapter of the model; its reference is the model without it
--adapter DIRECTORY  an adapter that is trained on; its reference is the adapter as it was
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from pydantic import field_validator, model_validator

from groundup.adapt import (
    AdapterConfig,
    BottleneckConfig,
    LoraConfig,
    PrefixConfig,
    adapter_sizes,
    attach_adapter,
    load_adapter,
    save_adapter,
)
from groundup.core import Artifact, ConfigError, Draft, device, record
from groundup.model import Transformer, load, load_to_train, save
from groundup.train import OptimConfig, TrainingConfig, with_usual_optim

from .form import CHAT_TEMPLATE_FILE, ChatFormat, load_chat_format
from .sources import SourceFormat

KINDS = {"lora": LoraConfig, "prefix": PrefixConfig, "bottleneck": BottleneckConfig}
TRAINED = "default"
"""Name of the adapter that is trained."""


class AdaptableConfig(TrainingConfig):
    """What a training has that may train an adapter."""

    adapter: AdapterConfig | None = None
    """Train this adapter and keep the model's weights; None: train the weights. Its `kind` is lora,
    prefix or bottleneck, with the settings of docs/reference/adapt.md: adapter.rank=16."""

    @field_validator("adapter", mode="before")
    @classmethod
    def default_kind(cls, values: Any) -> Any:
        """Read settings without a kind as the first one's that has them all, or as LoRA's."""
        if not isinstance(values, Mapping):
            return values
        fits = (name for name, kind in KINDS.items() if values.keys() <= kind.model_fields.keys())
        return {"kind": next(fits, "lora")} | dict(values)

    @model_validator(mode="after")
    def check_average(self) -> "AdaptableConfig":
        """Reject an average of weights that do not change."""
        if self.adapter is not None and self.ema_decay:
            raise ConfigError("ema_decay averages all weights, not an adapter's; omit one of them.")
        return self


Settings = TypeVar("Settings", bound=AdaptableConfig)


class UsualOptim(NamedTuple):
    """What a stage has if nothing is set: an optimizer of models that were trained here, and rates
    of AdamW for others, for adapters of models that were trained here, and of others."""

    native: OptimConfig
    imported: float
    adapter: float
    imported_adapter: float


def adamw(rate: float) -> OptimConfig:
    """AdamW with one rate for all weights, as peers have it."""
    return OptimConfig(
        matrix_optimizer="adamw", learning_rate=rate, embedding_learning_rate=rate, epsilon=1e-8
    )


def with_adapter(
    config: Settings, adapter: str, model: Artifact, usual: UsualOptim
) -> tuple[Settings, dict[str, Artifact]]:
    """The configuration with the adapter of a flag and its optimizer, and the adapter's parent.

    The parent is the adapter that is trained on. Raises ConfigError for neither a kind nor an
    adapter's directory.
    """
    own, given = dict[str, Artifact](), config.adapter
    if adapter in KINDS:
        if given is not None and given.kind != adapter:
            raise ConfigError(f"--adapter {adapter} came with adapter.kind={given.kind!r}.")
        values: dict[str, Any] = {"adapter": {"kind": adapter}}
        config = type(config)(**values | config.model_dump(exclude_unset=True))
    elif adapter:
        if not Path(adapter).is_dir():
            kinds = ", ".join(KINDS)
            raise ConfigError(f"--adapter {adapter} is neither a kind ({kinds}) nor a directory.")
        if given is not None or config.ema_decay:
            what = "adapter.… settings" if given is not None else "ema_decay"
            raise ConfigError(
                f"{what} came with --adapter {adapter}, which has its own; omit them."
            )
        own = {"adapter": Artifact.open(Path(adapter), "adapter")}
    native, imported = usual.native, usual.imported
    if is_adapted(config, own):
        native, imported = adamw(usual.adapter), usual.imported_adapter
    return with_usual_optim(config, model, native, adamw(imported)), own


def is_adapted(config: AdaptableConfig, parents: Mapping[str, Artifact]) -> bool:
    """Whether an adapter is trained."""
    return config.adapter is not None or "adapter" in parents


def load_trainable(config: AdaptableConfig, parents: Mapping[str, Artifact]) -> Transformer:
    """The model to train; under an adapter packed weights stay packed.

    Raises ConfigError for an adapter of weights that the family's files transpose or repeat.
    """
    path = parents["model"].path
    if not is_adapted(config, parents):
        return load_to_train(path).to(device.default_device())
    model = load(path, torch.float32).to(device.default_device())
    if config.adapter is not None:
        size = attach_adapter(model, config.adapter, TRAINED, seed=config.seed)
        with tempfile.TemporaryDirectory() as folder:  # what has no name in files is refused now
            save_adapter(model, TRAINED, folder)
    else:
        size = load_adapter(model, parents["adapter"].path, TRAINED, base=path, trainable=True)
    record.log(f"Training {size}.")
    return model


def chat_format(parents: Mapping[str, Artifact], template: str = "") -> ChatFormat:
    """The chat format of a model, with a given template, or that of the adapter trained on."""
    if not template and "adapter" in parents:
        template = parents["adapter"].file(CHAT_TEMPLATE_FILE).read_text(encoding="utf-8")
    return load_chat_format(parents["model"].path, template)


def save_trained(
    config: AdaptableConfig, model: Transformer, draft: Draft, parents: Mapping[str, Artifact],
    form: ChatFormat | SourceFormat, stops: list[int],
) -> None:  # fmt: skip
    """Write the directory of a trained model, or of its adapter."""
    base, adapted = parents["model"], is_adapted(config, parents)
    if adapted:
        size = adapter_sizes(model)[0]
        draft.numbers |= {"parameters": size.parameters, "adapter_bytes": size.bytes}
        save_adapter(model, TRAINED, draft.path, str(base.numbers.get("source", base.stage)))
    else:
        save(model, draft.path, base.path, chat=True if isinstance(form, ChatFormat) else None)
    if isinstance(form, ChatFormat):
        form.save(draft.path, base.path, stops, adapted=adapted)
