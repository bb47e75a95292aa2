"""A preset: a published model shape, its source, and how it differs from the source.

The shapes are data, in presets.toml. `Preset.paper` is the number of parameters as the paper prints
it; `differs` explains where it deviates from the number that `parameters` counts.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..config import ModelConfig

Objective = Literal["causal", "masked", "boundary", "corruption", "denoising"]
"""Its training objective, by its name in groundup.train."""


class Preset(NamedTuple):
    """A published model."""

    name: str
    config: ModelConfig
    family: str
    """Name of the paper's models together, such as `GPT-2`."""
    objective: Objective
    special: str
    """What it brought to the field, in one line."""
    source: str
    """Paper or report."""
    paper: str = ""
    """Number of parameters as the source prints it; empty if it prints none."""
    differs: str = ""
    """How the model differs from the source, and why the numbers of parameters differ."""
    shared: str = ""
    """How every model of the family, the tiny one included, differs from the source."""


def read_presets() -> Iterator[Preset]:
    """Yield the presets of presets.toml in its order."""
    families = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))
    for family, paper in families.items():
        shared = paper.pop("config")
        for model in paper.pop("models"):
            config = _merge(_sizes(*model.pop("shape")), shared, model.pop("config", {}))
            if config.get("kind") == "encoder_decoder":
                config["encoder_layers"] = config["layers"]
            yield Preset(family=family, config=ModelConfig(**config), **paper, **model)


def _sizes(
    layers: int, width: int, heads: int, kv_heads: int, head_dim: int, inner: int
) -> dict[str, Any]:
    return {
        "layers": layers,
        "width": width,
        "attention": {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim},
        "feedforward": {"width": inner},
    }


def _merge(*tables: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for table in tables:
        for name, value in table.items():
            is_table = isinstance(value, Mapping)
            merged[name] = _merge(merged.get(name, {}), value) if is_table else value
    return merged
