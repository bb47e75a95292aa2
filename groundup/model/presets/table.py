"""The presets by name, and the tiny one of every family.

`gpt-2` is the published shape; `gpt-2-tiny` has its every trait at sizes that a laptop trains in
minutes. A tiny one is derived from its family's first, never written down, so it cannot differ from
it; where a later one stretches its angles, the tiny one does too.
"""

import difflib
import functools
import math
from collections.abc import Sequence

from groundup.core import ConfigError

from ..config import ModelConfig, RopeScaling, largest_divisor
from .preset import Preset, read_presets

TINY_WIDTH, TINY_HEADS, TINY_LAYERS, TINY_CONTEXT, TINY_WINDOW = 128, 4, 4, 256, 32
TINY_VOCABULARY, TINY_EXPERTS = 4096, 4
TINY = "-tiny"


@functools.cache
def presets() -> dict[str, Preset]:
    """Every preset by name, tiny ones of each family last."""
    published = {each.name: each for each in read_presets()}
    families: dict[str, list[Preset]] = {}
    for each in published.values():
        families.setdefault(each.family, []).append(each)
    return published | {each.name: each for each in map(made_tiny, families.values())}


def preset(name: str) -> Preset:
    """The preset of a name.

    Raises ConfigError naming the nearest ones.
    """
    known = presets()
    if name not in known:
        raise ConfigError(f"There is no preset {name!r}; the nearest are {nearest(name)}.")
    return known[name]


def nearest(name: str) -> str:
    """The presets whose names are most like the end of a path.

    >>> nearest("runs/gpt2-xl").partition(",")[0]
    'gpt-2-xl'
    """
    end = name.rpartition("/")[2].lower()
    return ", ".join(difflib.get_close_matches(end, presets(), n=4, cutoff=0.0))


def made_tiny(family: Sequence[Preset]) -> Preset:
    """A family's traits at a size that trains on a laptop; its context is 256 tokens.

    >>> made_tiny([presets()["mistral-7b"]]).name
    'mistral-tiny'
    """
    first = family[0]
    config, differs = tiny(first.config), f"{first.name} with sizes that train on a laptop"
    stretched = [each for each in family if each.config.position.scaling.kind != "none"]
    if stretched and first not in stretched:
        scaling = shortened(stretched[0].config.position.scaling)
        position = config.position.model_copy(update={"scaling": scaling})
        config = config.model_copy(update={"position": position})
        differs += f", and {stretched[0].name}'s stretched angles"
    name = first.family.lower().replace(" ", "-") + TINY
    return first._replace(name=name, config=config, paper="", differs=differs + ".")


def tiny(config: ModelConfig, vocab_size: int = TINY_VOCABULARY) -> ModelConfig:
    """A configuration with the same parts and small sizes."""
    part, feed, width = config.attention, config.feedforward, config.width
    layers = max(TINY_LAYERS, len(part.patterns))
    groups = min(part.heads // part.kv_heads, TINY_HEADS)
    attention = {
        "heads": TINY_HEADS,
        "kv_heads": largest_divisor(TINY_HEADS, max(1, TINY_HEADS // groups)),
        "head_dim": TINY_WIDTH // TINY_HEADS,
        "patterns": tuple(each._replace(window=min(each.window, TINY_WINDOW))
                          for each in part.patterns),
        "scale": part.scale if part.scale == 1.0 else None,
    }  # fmt: skip
    inner = round(feed.width / width * TINY_WIDTH / 32) * 32
    experts = feed.experts and feed.experts.model_copy(
        update={"count": min(feed.experts.count, TINY_EXPERTS)}
    )
    feedforward = {"width": max(inner, 2 * TINY_WIDTH), "experts": experts}
    updates = {
        "vocab_size": vocab_size, "width": TINY_WIDTH, "layers": layers,
        "context_length": TINY_CONTEXT, "encoder_layers": layers if config.encoder_layers else 0,
        "attention": part.model_copy(update=attention),
        "feedforward": feed.model_copy(update=feedforward),
        "embedding": config.embedding.model_copy(
            update={"scale": narrowed(config.embedding.scale, width)}
        ),
        "output": config.output.model_copy(update={"scale": narrowed(config.output.scale, width)}),
    }  # fmt: skip
    return ModelConfig(**(dict(config) | updates))


def narrowed(scale: float, width: int) -> float:
    """A factor at the tiny width: a root of the width, or one over it, stays one.

    >>> round(narrowed(512**-0.5, 512) ** -2), narrowed(1.0, 512)
    (128, 1.0)
    """
    root, tiny_root = math.sqrt(width), math.sqrt(TINY_WIDTH)
    if math.isclose(scale, root):
        return tiny_root
    return 1 / tiny_root if math.isclose(scale, 1 / root) else scale


def shortened(scaling: RopeScaling) -> RopeScaling:
    """The same stretching, up to the tiny context; linear, it has no length before."""
    if not scaling.original_length:
        return scaling
    return scaling.model_copy(update={"original_length": round(TINY_CONTEXT / scaling.factor)})
