"""Explain: token by token, what each setting of sampling cut and kept, as a page.

    groundup generate MODEL PROMPT --temperature 0.8 --top-p 0.9 --explain page.html

For each chosen token the page has a line per setting that changed something, with the number of
tokens it kept and the share of the probability it cut, and a table of the likeliest tokens: what
the model gave them, what each setting left them, and what was drawn.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import ConfigError, Generation, Sampling, page, write_text

from .engine import Engine
from .sampling import TokenSampler, sampling_distribution

SHOWN_TOKENS = 8
"""Likeliest tokens of a table, by the model and by what was drawn from."""


class SamplingStage(NamedTuple):
    """The distribution after a setting."""

    name: str
    """Of the setting, with its value."""
    probabilities: Float[Tensor, " V"]
    """Of every token, float64."""

    @property
    def kept(self) -> int:
        """How many tokens are possible."""
        return int((self.probabilities > 0).sum())


class ExplainedToken(NamedTuple):
    """A chosen token and the distribution after each setting, the model's own first."""

    id: int
    stages: tuple[SamplingStage, ...]


def sampling_stages(logits: Float[Tensor, " V"], sampler: TokenSampler) -> Iterator[SamplingStage]:
    """Yield the distribution of the model, and after each setting that is in use, in order."""
    sampling, exact = sampler.sampling, logits.double()
    yield SamplingStage("model", exact.softmax(-1))
    for name, adjusted in sampler.adjustments(logits.double()):
        exact = adjusted
        yield SamplingStage(name, exact.softmax(-1))
    if sampling.temperature == 0 or sampling.top_k == 1:
        best = torch.zeros_like(exact).index_fill(0, exact.argmax(), 1)
        name = "temperature 0" if sampling.temperature == 0 else "top_k 1"
        yield SamplingStage(name, best)
        return
    used = Sampling(temperature=sampling.temperature)
    yield SamplingStage(f"temperature {sampling.temperature:g}", _dense(exact, used))
    for name in ("top_k", "top_p", "min_p"):
        value = getattr(sampling, name)
        if value != getattr(Sampling(), name):
            used = used.model_copy(update={name: value})
            yield SamplingStage(f"{name} {value:g}", _dense(exact, used))


def _dense(logits: Float[Tensor, " V"], sampling: Sampling) -> Float[Tensor, " V"]:
    """Probability of every token, in the order of the vocabulary."""
    probabilities, ids = sampling_distribution(logits[None], sampling)
    if ids is None:
        return probabilities[0]
    return torch.zeros_like(logits).scatter(0, ids[0], probabilities[0])


def explain_generation(
    engine: Engine, prompt: Sequence[int], sampling: Sampling
) -> tuple[Generation, list[ExplainedToken]]:
    """Continue a prompt as `Engine.continue_ids` does, and keep why each token was chosen."""
    stages = list[tuple[SamplingStage, ...]]()

    def observe(logits: Float[Tensor, "1 V"], samplers: Sequence[TokenSampler]) -> None:
        stages.append(tuple(sampling_stages(logits[0].detach().cpu(), samplers[0])))

    generation = engine.continue_observed(prompt, sampling, observe)
    pairs = zip(generation.ids, stages, strict=False)
    return generation, [ExplainedToken(token, each) for token, each in pairs]


def write_explanation(
    engine: Engine, prompt: str, ids: Sequence[int], sampling: Sampling, file: Path
) -> Generation:
    """Continue a prompt and write the page that explains it; ConfigError for another ending."""
    if file.suffix != ".html" or file.is_dir():
        raise ConfigError(f"--explain {file}: the page is HTML; name a file that ends with .html.")
    file.parent.mkdir(parents=True, exist_ok=True)
    generation, tokens = explain_generation(engine, ids, sampling)
    write_text(file, explanation_page(engine, prompt, generation, tokens).render())
    return generation


def explanation_page(
    engine: Engine, prompt: str, generation: Generation, tokens: Sequence[ExplainedToken]
) -> page.HtmlPage:
    """The page of an explained generation."""
    greedy = sum(int(each.stages[0].probabilities.argmax()) == each.id for each in tokens)
    lead = (
        f"{len(tokens)} tokens; {greedy} of them are the model's likeliest. "
        f"The answer ended with “{generation.finish_reason}”."
    )
    sheet = page.HtmlPage("How each token was chosen", lead)
    sheet.section("Text", "The prompt, and what was generated.",
                 page.element("pre", prompt), page.element("pre", generation.text))  # fmt: skip
    parts = [_token_details(engine, number, each) for number, each in enumerate(tokens, 1)]
    sheet.section("Tokens", "Open one to see what each setting cut and kept.", *parts)
    return sheet


def _token_details(engine: Engine, number: int, token: ExplainedToken) -> page.Html:
    own, final = token.stages[0].probabilities, token.stages[-1]
    title = (
        f"{number}. {_shown(engine, token.id)} · {_percent(own[token.id])} by the model, "
        f"{_percent(final.probabilities[token.id])} of {final.kept:,} kept"
    )
    return page.details(
        title, _stage_table(token), _token_table(engine, token), is_open=number == 1
    )


def _stage_table(token: ExplainedToken) -> page.Html:
    rows: list[list[page.TableCell]] = []
    before = token.stages[0].probabilities
    for stage in token.stages:
        cut = before[stage.probabilities == 0].sum()
        rows.append([stage.name, f"{stage.kept:,}", _percent(cut)])
        before = stage.probabilities
    columns = [
        "setting",
        page.TableColumn("tokens kept", True),
        page.TableColumn("share cut", True),
    ]
    return page.table_element("What each setting kept", columns, rows)


def _token_table(engine: Engine, token: ExplainedToken) -> page.Html:
    shown = dict.fromkeys([token.id])
    for stage in (token.stages[0], token.stages[-1]):
        count = min(SHOWN_TOKENS, len(stage.probabilities))
        shown |= dict.fromkeys(stage.probabilities.topk(count).indices.tolist())
    own = token.stages[0].probabilities
    rows: list[list[page.TableCell]] = []
    for id in sorted(shown, key=lambda id: -float(own[id])):
        values = [
            _percent(each.probabilities[id]) if each.probabilities[id] > 0 else "cut"
            for each in token.stages
        ]
        rows.append([_shown(engine, id), *values, "chosen" if id == token.id else ""])
    columns = [page.TableColumn(stage.name, True) for stage in token.stages]
    return page.table_element("The likeliest tokens", ["token", *columns, ""], rows)


def _shown(engine: Engine, token: int) -> str:
    """A token as text in quotes, with its id if it has none."""
    special = {id: name for name, id in engine.tokenizer.specials.items()}
    text = special.get(token) or engine.tokenizer.decode_bytes([token]).decode("utf-8", "replace")
    return f"“{text}”".replace("\n", "⏎").replace("\t", "⇥").replace("“ ”", "“␣”")


def _percent(share: Tensor) -> str:
    value = 100 * float(share)
    return f"{page.format_number(value, 1 if value >= 1 else 3)} %" if value > 0 else "0 %"
