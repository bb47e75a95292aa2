"""What an adapter is: its kind and its sizes, one configuration for each kind.

    lora         low-rank updates of linear layers: LoRA, rank-stabilised, DoRA
    prefix       keys and values before those of each layer
    bottleneck   small networks after or beside the sublayers: Houlsby, Pfeiffer, parallel

Defaults are those of the libraries whose files groundup reads and writes, PEFT and AdapterHub.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from groundup.core import Config

ALL_LINEAR = "all-linear"


class LoraConfig(Config):
    """A low-rank update of each target's weight: W + s B A."""

    kind: Literal["lora"] = "lora"
    """Chooses this kind of adapter."""
    rank: int = Field(default=8, ge=1)
    """Rows of A and columns of B."""
    alpha: float = Field(default=8.0, gt=0)
    """The update's scale is s = alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of A's inputs that are zero in training."""
    rank_stabilised: bool = False
    """rsLoRA: s = alpha / sqrt(rank), so that a higher rank does not learn more slowly."""
    dora: bool = False
    """DoRA: also learn the norm of each output's weights, apart from their direction."""
    targets: tuple[str, ...] = (ALL_LINEAR,)
    """Modules by name or by its end, such as q_proj; `all-linear` is every linear layer but the
    head. `embed_tokens` is the input embedding."""


class PrefixConfig(Config):
    """Learned keys and values that every token of every layer sees."""

    kind: Literal["prefix"] = "prefix"
    """Chooses this kind of adapter."""
    length: int = Field(default=20, ge=1)
    """Positions of the prefix."""
    projection: bool = False
    """Compute keys and values from one small embedding by a network, which trains more steadily;
    files hold its output alone."""
    projection_width: int | None = Field(default=None, ge=1)
    """Hidden features of that network; None: the features of a layer's keys."""


class BottleneckConfig(Config):
    """A network of few features, W_up f(W_down h), in each layer."""

    kind: Literal["bottleneck"] = "bottleneck"
    """Chooses this kind of adapter."""
    style: Literal["houlsby", "pfeiffer", "parallel"] = "pfeiffer"
    """After attention and feed-forward, reading their outputs; after the feed-forward, reading its
    residual sum; beside the feed-forward, reading its input."""
    reduction: float = Field(default=16.0, gt=0)
    """Width of the model by that of the bottleneck; 2 for `parallel`."""
    activation: Literal["relu", "swish", "gelu"] = "relu"
    """Of the bottleneck's features; swish for `houlsby`."""
    scale: float = Field(default=1.0, gt=0)
    """Factor of the output; 4 for `parallel`."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the output's features that are zero in training."""

    @model_validator(mode="before")
    @classmethod
    def default_sizes(cls, values: Any) -> Any:
        """Use AdapterHub's defaults of each style: DoubleSeqBn, SeqBn and ParBn."""
        style = values.get("style") if isinstance(values, Mapping) else None
        return STYLE_DEFAULTS.get(str(style), {}) | dict(values)


STYLE_DEFAULTS = {"houlsby": {"activation": "swish"}, "parallel": {"reduction": 2.0, "scale": 4.0}}
AdapterConfig = Annotated[LoraConfig | PrefixConfig | BottleneckConfig, Field(discriminator="kind")]
"""Any of them, chosen by `kind`."""
