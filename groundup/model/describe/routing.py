"""Which expert computes which token: a picture of a model's routers on one text.

For each layer with experts, how the choices fall on them, and the text itself with every token in
the colour of its likeliest expert. A router that always takes the same one, or that looks at
spelling alone, is seen at a glance.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError, page, regular, write_text

from ..transformer import Transformer
from ..weights.directory import load

COLOURS = 6
"""Series colours of the look; further experts take them again."""
LONGEST = 2000
"""Tokens of a text that are drawn."""
STYLE = """
.routed { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 16px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/22px ui-monospace, monospace; }
.routed span { border-bottom: 3px solid; padding-bottom: 1px; }
""" + "".join(
    f".e{i} {{ border-color: var(--series-{i + 1}) !important; }}\n" for i in range(COLOURS)
)


class Routed(NamedTuple):
    """What one layer's router did with a text."""

    layer: int
    """Counted from 0."""
    experts: Int[Tensor, "N c"]
    """The chosen experts of each token, likeliest first."""
    shares: Float[Tensor, " E"]
    """Of all choices, how many fell on each expert."""

    @property
    def balance(self) -> float:
        """Entropy of the shares over that of equal ones: 1 is equal work, 0 one expert alone.

        >>> Routed(0, torch.zeros(1, 1).long(), torch.tensor([0.5, 0.5])).balance
        1.0
        """
        nats = -torch.special.xlogy(self.shares, self.shares).sum()
        return round(float(nats / torch.log(torch.tensor(float(len(self.shares))))), 6)


@torch.inference_mode()
def routes(model: Transformer, ids: Int[Tensor, "1 T"]) -> list[Routed]:
    """What every router of a decoder or encoder chooses for these ids.

    Raises ConfigError if the model has no experts or reads a source.
    """
    experts = model.config.feedforward.experts
    if experts is None:
        raise ConfigError(
            f"This {model.config.kind} is dense: it has no experts, so there are no routes to show."
        )
    if model.encoder is not None:
        raise ConfigError(
            "This encoder_decoder has experts but reads a source and writes a target, and a page "
            "shows one text; only decoders and encoders are drawn."
        )
    logits: list[Tensor] = []
    model.eval()(ids, routing=logits)
    layers = [i for i in range(model.config.layers) if model.config.has_experts(i)]
    found = []
    for layer, each in zip(layers, logits, strict=True):
        chosen = each.topk(experts.chosen, dim=-1).indices
        counts = chosen.flatten().bincount(minlength=experts.count)
        found.append(Routed(layer, chosen, counts / counts.sum()))
    return found


class Shares(NamedTuple):
    """The result of `groundup model routing`."""

    page: Path
    layers: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    """Of each layer's choices, how many fell on each expert."""
    balance: tuple[float, ...]

    def __str__(self) -> str:
        """A line a layer."""
        lines = [
            f"layer {layer:>3}  " + "  ".join(f"{share:4.0%}" for share in row) + f"  {even:.2f}"
            for layer, row, even in zip(self.layers, self.shares, self.balance, strict=True)
        ]
        return "\n".join([*lines, f"{self.page}: which expert computes which token"])


def routing(model: Path, text: Path, out: Path) -> Shares:
    """Draw which expert computes which token of a text.

    model  a model directory with experts
    text   a file of plain text, of which the first 2,000 tokens are read
    out    the HTML file to write

    Raises ConfigError if the model has no experts, or the text is missing or has no tokens.
    """
    from groundup.tokenizer import load_tokenizer  # here: shapes and costs need no tokenizer

    written = read_text(text)
    network, tokenizer = load(model), load_tokenizer(model)
    limit = min(LONGEST, network.config.context_length)
    ids = tokenizer.encode(written)[:limit]
    if not ids:
        raise ConfigError(f"{text} has no token to route; give a file with text.")
    found = routes(network, torch.tensor([ids]))
    tokens = [tokenizer.decode([id]) for id in ids]
    write_text(out, drawn(found, tokens, Path(model).name).render())
    return Shares(
        Path(out), tuple(each.layer for each in found),
        tuple(tuple(each.shares.tolist()) for each in found),
        tuple(each.balance for each in found),
    )  # fmt: skip


def read_text(place: Path) -> str:
    """A file's text; ConfigError if there is none."""
    try:
        return regular(Path(place)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{place} is no file of plain text ({error}); give one, such as a page of a document."
        ) from None


def drawn(found: Sequence[Routed], tokens: Sequence[str], name: str) -> page.Page:
    """The page of a model's routes through a text."""
    least = min(found, key=lambda each: each.balance)
    sheet = page.Page(
        f"Routes of {name}",
        f"{len(tokens):,} tokens; the least even layer is {least.layer}, with a balance of "
        f"{least.balance:.2f} of 1.",
        style=STYLE,
    )
    columns = [page.Column("layer")]
    columns += [page.Column(f"expert {i}", True) for i in range(len(found[0].shares))]
    columns += [page.Column("balance", True)]
    rows = [
        [str(each.layer), *(f"{share:.0%}" for share in each.shares), f"{each.balance:.2f}"]
        for each in found
    ]
    lead = "Of all choices in a layer, how many fell on each expert; a balance of 1 is equal work."
    sheet.section("Work", lead, page.table("Share of the choices by layer", columns, rows))
    for each in found:
        lead = "Each token is underlined in the colour of its likeliest expert."
        sheet.section(f"Layer {each.layer}", lead, coloured(each, tokens))
    return sheet


def coloured(routed: Routed, tokens: Sequence[str]) -> page.Html:
    """The text with every token in its expert's colour."""
    first = routed.experts[:, 0].tolist()
    spans = [
        page.element(f"span.e{expert % COLOURS}", token, attributes={"title": f"expert {expert}"})
        for token, expert in zip(tokens, first, strict=True)
    ]
    return page.element("div.routed", *spans)
