"""Published model shapes by name, with their sources, and a tiny one of every family.

The shapes are data, in presets.toml. `Preset.paper` is the number of parameters as the paper prints
it; `differs` explains where it deviates from the number that `parameters` counts. `gpt-2` is the
published shape; `gpt-2-tiny` has the same architecture at sizes that train on a laptop in minutes.
A tiny preset is derived from its family's first, so it cannot diverge from it; if a later preset of
the family scales its rotary positions, the tiny one does too.
"""

import difflib
import functools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.core import ConfigError

from .configuration.config import AttentionConfig, ExpertsConfig, ModelConfig, largest_divisor
from .families.decoder_keys import with_fields

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
            layers, width, heads, kv_heads, head_dim, inner = model.pop("shape")
            attention = {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim}
            sizes = {"layers": layers, "width": width, "feedforward": {"width": inner}}
            config = _merge(sizes, {"attention": attention}, shared, model.pop("config", {}))
            if config.get("kind") == "encoder_decoder":
                config["encoder_layers"] = config["layers"]
            yield Preset(family=family, config=ModelConfig(**config), **paper, **model)


def _merge(*tables: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for table in tables:
        for name, value in table.items():
            is_table = isinstance(value, Mapping)
            merged[name] = _merge(merged.get(name, {}), value) if is_table else value
    return merged


TINY_WIDTH, TINY_HEADS, TINY_LAYERS, TINY_CONTEXT, TINY_WINDOW = 128, 4, 4, 256, 32
TINY_VOCABULARY, TINY_EXPERTS = 4096, 4
TINY_SUFFIX = "-tiny"


@functools.cache
def presets() -> dict[str, Preset]:
    """Every preset by name; the tiny ones come last."""
    published = {each.name: each for each in read_presets()}
    families: dict[str, list[Preset]] = {}
    for each in published.values():
        families.setdefault(each.family, []).append(each)
    return published | {each.name: each for each in map(_make_tiny_preset, families.values())}


def preset(name: str) -> Preset:
    """The preset of a name; raises ConfigError naming the nearest ones."""
    if name not in presets():
        raise ConfigError(f"There is no preset {name!r}; the nearest are {nearest_presets(name)}.")
    return presets()[name]


def nearest_presets(name: str) -> str:
    """The presets with names most similar to the last component of a path.

    >>> nearest_presets("runs/gpt2-xl").partition(",")[0]
    'gpt-2-xl'
    """
    end = name.rpartition("/")[2].lower()
    return ", ".join(difflib.get_close_matches(end, presets(), n=4, cutoff=0.0))


def _make_tiny_preset(family: Sequence[Preset]) -> Preset:
    """A family's architecture at a size that trains on a laptop; its context is 256 tokens.

    >>> _make_tiny_preset([presets()["mistral-7b"]]).name
    'mistral-tiny'
    """
    first = family[0]
    config = _shrink_config(first.config)
    differs = f"{first.name} with sizes that train on a laptop"
    scaled = [each for each in family if each.config.position.scaling.kind != "none"]
    if scaled and first not in scaled:
        scaling = scaled[0].config.position.scaling
        if scaling.original_length:  # linear scaling has none
            length = round(TINY_CONTEXT / scaling.factor)
            scaling = scaling.model_copy(update={"original_length": length})
        config = with_fields(config, {"position.scaling": scaling})
        differs += f", and {scaled[0].name}'s scaled rotary positions"
    name = first.family.lower().replace(" ", "-") + TINY_SUFFIX
    return first._replace(name=name, config=config, paper="", differs=differs + ".")


def _shrink_config(config: ModelConfig) -> ModelConfig:
    part, feed, width = config.attention, config.feedforward, config.width
    layers = config.layers if config.repeats > 1 else max(TINY_LAYERS, len(part.patterns))
    groups = min(part.heads // part.kv_heads, TINY_HEADS)
    fields: dict[str, Any] = {
        "vocab_size": TINY_VOCABULARY, "width": TINY_WIDTH, "layers": layers,
        "repeats": min(config.repeats, TINY_LAYERS),
        "context_length": TINY_CONTEXT, "encoder_layers": layers if config.encoder_layers else 0,
        "attention.heads": TINY_HEADS,
        "attention.kv_heads": largest_divisor(TINY_HEADS, max(1, TINY_HEADS // groups)),
        "attention.head_dim": TINY_WIDTH // TINY_HEADS,
        "attention.patterns": tuple(each._replace(window=min(each.window, TINY_WINDOW))
                                    for each in part.patterns),
        "attention.scale": _shrink_scale(part),
        "attention.temperature_length": min(part.temperature_length, TINY_WINDOW),
        "feedforward.width": max(round(feed.width / width * TINY_WIDTH / 32) * 32, 2 * TINY_WIDTH),
        "feedforward.experts": feed.experts and _shrink_experts(feed.experts),
        "embedding.scale": _rescale(config.embedding.scale, width),
        "embedding.width": min(config.embedding.width, TINY_WIDTH // 4),
        "output.scale": _output_scale(config),
    }  # fmt: skip
    if part.latent is not None:
        query_rank = min(part.latent.query_rank, 3 * TINY_WIDTH // 4)
        sizes = {"rank": TINY_WIDTH // 2, "query_rank": query_rank, "rotated": 16, "value_dim": 24}
        fields["attention.latent"] = part.latent.model_copy(update=sizes)
    return with_fields(config, fields)


def _shrink_experts(experts: ExpertsConfig) -> ExpertsConfig:
    """A few experts, in two groups if they have groups, and as many shared ones."""
    width = None if experts.width is None else TINY_WIDTH
    sizes = {
        "count": min(experts.count, TINY_EXPERTS), "chosen": min(experts.chosen, 2), "width": width,
        "shared": round(experts.shared / (experts.width or experts.shared or 1)) * TINY_WIDTH,
        "groups": min(experts.groups, 2), "chosen_groups": min(experts.chosen_groups, 1),
        "dense_layers": min(experts.dense_layers, 1),
    }  # fmt: skip
    return with_fields(experts, sizes)


def _shrink_scale(part: AttentionConfig) -> float | None:
    """A scale that is one, or one over the features of a head (Granite), stays so."""
    if part.scale is not None and math.isclose(part.scale, 1 / part.head_dim):
        return TINY_HEADS / TINY_WIDTH
    return part.scale if part.scale == 1.0 else None


def _output_scale(config: ModelConfig) -> float:
    """One over the width, times a constant, follows the width where updates are scaled, too.

    So rates transfer between widths (Granite, MiniCPM). Source: Yang et al. 2022, arXiv:2203.03466.
    """
    if config.residual_scale != 1:
        return min(1.0, config.output.scale * config.width / TINY_WIDTH)
    return _rescale(config.output.scale, config.width)


def _rescale(scale: float, width: int) -> float:
    """A scale at the tiny width: sqrt(width) and 1 / sqrt(width) follow the width.

    >>> round(_rescale(512**-0.5, 512) ** -2), _rescale(1.0, 512)
    (128, 1.0)
    """
    root, tiny_root = math.sqrt(width), math.sqrt(TINY_WIDTH)
    if math.isclose(scale, root):
        return tiny_root
    if math.isclose(scale, 1 / root):
        return 1 / tiny_root
    return scale
