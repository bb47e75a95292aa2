"""The presets by name, and the tiny one of every family.

`gpt-2` is the published shape; `gpt-2-tiny` has its every trait at sizes that a laptop trains in
minutes. A tiny one is derived, never written down, so it cannot differ from its family.
"""

import difflib
import functools
import math

from groundup.core import ConfigError
from groundup.kernels import Pattern

from ..config import ModelConfig, largest_divisor
from . import decoders, encoder_decoders, encoders, experts, recent
from .preset import Preset

TINY_WIDTH, TINY_HEADS, TINY_LAYERS, TINY_CONTEXT, TINY_WINDOW = 128, 4, 4, 256, 32
TINY_VOCABULARY, TINY_EXPERTS = 4096, 4
TINY = "-tiny"


@functools.cache
def presets() -> dict[str, Preset]:
    """Every preset by name, tiny ones of each family last."""
    groups = (decoders, encoders, encoder_decoders, experts, recent)
    published = {each.name: each for group in groups for each in group.presets()}
    firsts = {each.family: each for each in reversed(published.values())}
    small = (made_tiny(each) for each in published.values() if each is firsts[each.family])
    return published | {each.name: each for each in small}


def preset(name: str) -> Preset:
    """The preset of a name.

    Raises ConfigError naming the nearest ones.
    """
    known = presets()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=4, cutoff=0.4)
        raise ConfigError(
            f"There is no preset {name!r}; "
            + (f"the nearest are {', '.join(near)}." if near else f"there are {', '.join(known)}.")
        )
    return known[name]


def made_tiny(large: Preset) -> Preset:
    """The family's traits at a size that trains on a laptop; its context is 256 tokens.

    >>> made_tiny(presets()["mistral-7b"]).name
    'mistral-tiny'
    """
    name = large.family.lower().replace(" ", "-") + TINY
    return large._replace(
        name=name, config=tiny(large.config), paper="",
        differs=f"{large.name} with sizes that train on a laptop.",
    )  # fmt: skip


def tiny(config: ModelConfig, vocab_size: int = TINY_VOCABULARY) -> ModelConfig:
    """A configuration with the same parts and small sizes."""
    part, feed = config.attention, config.feedforward
    cycle = len(part.patterns)
    layers = max(TINY_LAYERS, cycle)
    groups = part.heads // part.kv_heads
    attention = part.model_copy(
        update={
            "heads": TINY_HEADS,
            "kv_heads": largest_divisor(TINY_HEADS, max(1, TINY_HEADS // min(groups, TINY_HEADS))),
            "head_dim": TINY_WIDTH // TINY_HEADS,
            "patterns": tuple(narrowed(pattern) for pattern in part.patterns),
            "scale": part.scale if part.scale == 1.0 else None,
        }
    )
    inner = round(feed.width / config.width * TINY_WIDTH / 32) * 32
    updates = {
        "vocab_size": vocab_size, "width": TINY_WIDTH, "layers": layers, "attention": attention,
        "context_length": TINY_CONTEXT, "encoder_layers": layers if config.encoder_layers else 0,
        "feedforward": feed.model_copy(
            update={"width": max(inner, 2 * TINY_WIDTH), "experts": fewer(config)}
        ),
        "embedding": rescaled(config), "output": reread(config),
    }  # fmt: skip
    return ModelConfig(**(dict(config) | updates))


def narrowed(pattern: Pattern) -> Pattern:
    """The pattern with a window that a short row is longer than."""
    return pattern._replace(window=min(pattern.window, TINY_WINDOW))


def fewer(config: ModelConfig) -> object:
    """The experts, fewer of them."""
    experts = config.feedforward.experts
    return experts and experts.model_copy(update={"count": min(experts.count, TINY_EXPERTS)})


def rescaled(config: ModelConfig) -> object:
    """The way in; a factor of sqrt(width) stays one."""
    is_root = math.isclose(config.embedding.scale, math.sqrt(config.width))
    scale = math.sqrt(TINY_WIDTH) if is_root else config.embedding.scale
    return config.embedding.model_copy(update={"scale": scale})


def reread(config: ModelConfig) -> object:
    """The way out; a factor of 1 / sqrt(width) stays one."""
    is_root = math.isclose(config.output.scale, 1 / math.sqrt(config.width))
    scale = 1 / math.sqrt(TINY_WIDTH) if is_root else config.output.scale
    return config.output.model_copy(update={"scale": scale})
