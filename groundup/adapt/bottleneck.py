"""Bottleneck adapters: a small network in every layer, around which the model stays as it is.

    houlsby    h' = h + u + s W_up f(W_down u)              after attention and feed-forward
    pfeiffer   h' = h + u + s W_up f(W_down (h + u))        after the feed-forward
    parallel   h' = h + u + s W_up f(W_down h)              beside the feed-forward

h is the residual stream before a sublayer and its norm, u the sublayer's update; pre-norm models
only, as AdapterHub does for LLaMA and its kin.
Source: Houlsby et al. 2019, arXiv:1902.00751; Pfeiffer et al. 2020, arXiv:2005.00247; He et al.
2021, arXiv:2110.04366. Sizes and initial weights are AdapterHub's (init "bert"; "mam_adapter" for
parallel ones): unlike LoRA's, new sequential ones change the model a little.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ConfigError
from groundup.model import Transformer, TransformerBlock

from .config import BottleneckConfig
from .selection import AdaptedModule, AdapterSelection, add_update, select_sequences

BOTTLENECK_ACTIVATIONS = {"relu": F.relu, "swish": F.silu, "gelu": F.gelu}


class Bottleneck(nn.Module):
    """s W_up f(W_down x), with biases."""

    def __init__(self, width: int, config: BottleneckConfig) -> None:
        super().__init__()
        inner = max(1, int(width // config.reduction))
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        self.activation = BOTTLENECK_ACTIVATIONS[config.activation]
        self.style, self.scale, self.dropout = config.style, config.scale, config.dropout
        for layer in (self.down, self.up):
            nn.init.zeros_(layer.bias)
            if self.style != "parallel":
                nn.init.normal_(layer.weight, std=0.02)
        if self.style == "parallel":  # the other matrix has PyTorch's own initial weights
            nn.init.zeros_(self.up.weight)

    def forward(self, hidden: Float[Tensor, "B T D"], update: Tensor) -> Float[Tensor, "B T D"]:
        """What to add to a sublayer's update."""
        x = {"houlsby": update, "pfeiffer": hidden + update, "parallel": hidden}[self.style]
        inner = self.activation(self.down(x.to(self.down.weight.dtype)))
        return F.dropout(self.up(inner) * self.scale, self.dropout, self.training)


class SublayerAdapter(AdaptedModule):
    """The bottlenecks after one sublayer; the original is that there are none."""

    def forward(self, hidden: Float[Tensor, "B T D"], update: Tensor) -> Float[Tensor, "B T D"]:
        result = update
        for adapter, rows in self.acting(len(hidden)):
            own = adapter(select_sequences(hidden, rows), select_sequences(update, rows))
            result = add_update(result, own, rows)
        return result.to(update.dtype)


def attach_bottleneck(
    model: Transformer, name: str, config: BottleneckConfig, selection: AdapterSelection
) -> None:
    """Put new bottlenecks into every layer; ConfigError if layers have no place for them."""
    own = model.config
    if own.norm.place != "pre" or own.parallel or own.kind == "encoder_decoder":
        has = f"norm.place={own.norm.place!r}, parallel={own.parallel}, kind={own.kind!r}"
        what = "Bottlenecks need sequential sublayers after norms, in a decoder or an encoder"
        raise ConfigError(f"{what}; this model has {has}. Use LoRA.")
    places = ["attention_adapter"] * (config.style == "houlsby") + ["feedforward_adapter"]
    for block in model.layers:
        assert isinstance(block, TransformerBlock)
        for place in places:
            if getattr(block, place) is None:
                setattr(block, place, SublayerAdapter(None, selection))
            bottleneck = Bottleneck(own.width, config).train(model.training)
            bottleneck.to(model.head.device, torch.promote_types(model.head.dtype, torch.float32))
            getattr(block, place).adapters[name] = bottleneck
