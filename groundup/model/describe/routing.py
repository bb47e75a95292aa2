"""Expert routing as a page: which expert of each layer computes which token of a text.

For each layer with experts the page shows the load of the experts, and the text with every token in
the colour of its likeliest expert. Collapsed routers and routing by spelling are easy to see.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError, page, require_regular_file, write_text

from ..transformer import Transformer
from ..weights.directory import load

COLOURS = 6
"""Series colours of the page style; further experts reuse them."""
MAX_SHOWN_TOKENS = 2000
"""Maximum tokens shown."""
STYLE = """
.routed { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 16px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/22px ui-monospace, monospace; }
.routed span { border-bottom: 3px solid; padding-bottom: 1px; }
""" + "".join(
    f".e{i} {{ border-color: var(--series-{i + 1}) !important; }}\n" for i in range(COLOURS)
)


class LayerRouting(NamedTuple):
    """The routing of one layer."""

    layer: int
    """Counted from 0."""
    experts: Int[Tensor, "N c"]
    """The chosen experts of each token, likeliest first."""
    shares: Float[Tensor, " E"]
    """Share of all choices that fell on each expert."""

    @property
    def balance(self) -> float:
        """Normalised entropy of the shares: 1 is equal load, 0 a single expert.

        >>> LayerRouting(0, torch.zeros(1, 1).long(), torch.tensor([0.5, 0.5])).balance
        1.0
        """
        nats = -torch.special.xlogy(self.shares, self.shares).sum()
        return round(float(nats / torch.log(torch.tensor(float(len(self.shares))))), 6)


@torch.inference_mode()
def _route_text(model: Transformer, ids: Int[Tensor, "1 T"]) -> list[LayerRouting]:
    """The routing of these ids in every layer of a decoder or encoder.

    Raises ConfigError if the model has no experts or is an encoder–decoder.
    """
    experts = model.config.feedforward.experts
    if experts is None:
        raise ConfigError(f"This {model.config.kind} is dense: it has no experts to show.")
    if model.encoder is not None:
        raise ConfigError("Routing is shown for decoders and encoders; got an encoder_decoder.")
    logits: list[Tensor] = []
    model.eval()(ids, routing=logits)
    layers = [i for i in range(model.config.layers) if model.config.has_experts(i)]
    routed = []
    for layer, each in zip(layers, logits, strict=True):
        chosen = model.layers[layer].experts.choose(each).experts  # type: ignore[operator, union-attr]
        counts = chosen.flatten().bincount(minlength=experts.count)
        routed.append(LayerRouting(layer, chosen, counts / counts.sum()))
    return routed


class RoutingSummary(NamedTuple):
    """The result of `groundup model routing`."""

    page: Path
    layers: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    """Of each layer, the share of choices that fell on each expert."""
    balance: tuple[float, ...]

    def __str__(self) -> str:
        """One line per layer."""
        lines = [
            f"layer {layer:>3}  " + "  ".join(f"{share:4.0%}" for share in row) + f"  {even:.2f}"
            for layer, row, even in zip(self.layers, self.shares, self.balance, strict=True)
        ]
        return "\n".join([*lines, f"wrote {self.page}"])


def routing(model: Path, text: Path, out: Path) -> RoutingSummary:
    """Show which expert computes which token of a text.

    model  a model directory with experts
    text   a plain-text file, of which the first 2,000 tokens are read
    out    the HTML file to write

    Raises ConfigError if the model has no experts, or the text is missing or has no tokens.
    """
    from groundup.tokenizer import load_tokenizer  # lazy: shapes and costs need no tokenizer

    content = _read_text_file(text)
    network, tokenizer = load(model), load_tokenizer(model)
    limit = min(MAX_SHOWN_TOKENS, network.config.context_length)
    ids = tokenizer.encode(content)[:limit]
    if not ids:
        raise ConfigError(f"{text} has no token to route; give a file with text.")
    routed = _route_text(network, torch.tensor([ids]))
    tokens = [tokenizer.decode([id]) for id in ids]
    write_text(out, _routing_page(routed, tokens, Path(model).name).render())
    return RoutingSummary(
        Path(out), tuple(each.layer for each in routed),
        tuple(tuple(each.shares.tolist()) for each in routed),
        tuple(each.balance for each in routed),
    )  # fmt: skip


def _read_text_file(path: Path) -> str:
    try:
        return require_regular_file(Path(path)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a readable plain-text file ({error}).") from None


def _routing_page(
    routed: Sequence[LayerRouting], tokens: Sequence[str], name: str
) -> page.HtmlPage:
    least = min(routed, key=lambda each: each.balance)
    sheet = page.HtmlPage(
        f"Routes of {name}",
        f"{len(tokens):,} tokens; layer {least.layer} is the least balanced, with "
        f"{least.balance:.2f} of 1.",
        style=STYLE,
    )
    columns = [page.TableColumn("layer")]
    columns += [page.TableColumn(f"expert {i}", True) for i in range(len(routed[0].shares))]
    columns += [page.TableColumn("balance", True)]
    rows = [
        [str(each.layer), *(f"{share:.0%}" for share in each.shares), f"{each.balance:.2f}"]
        for each in routed
    ]
    lead = "Share of a layer's choices that fell on each expert; a balance of 1 is equal load."
    sheet.section("Load", lead, page.table_element("Share of the choices by layer", columns, rows))
    for each in routed:
        lead = "Each token is underlined in the colour of its likeliest expert."
        sheet.section(f"Layer {each.layer}", lead, _colour_tokens(each, tokens))
    return sheet


def _colour_tokens(routed: LayerRouting, tokens: Sequence[str]) -> page.Html:
    """The text with every token in the colour of its expert."""
    first = routed.experts[:, 0].tolist()
    spans = [
        page.element(f"span.e{expert % COLOURS}", token, attributes={"title": f"expert {expert}"})
        for token, expert in zip(tokens, first, strict=True)
    ]
    return page.element("div.routed", *spans)
