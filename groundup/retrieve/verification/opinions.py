"""Second opinions on whether documents support a claim: a classifier's, or a language model's.

A classifier (readers/scoring.py) gives the log-odds. A language model is shown a passage and the
claim and says yes or no, which counts as sure; it reads the first passages found. What is neither
is no opinion.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from groundup.core import ConfigError, LanguageModel, Sampling
from groundup.generate import open_language_model
from groundup.prompt import Datum, Template

from ..chunks.passage_text import PassageText
from ..readers.scoring import PairScorer, Supported

PROMPT = Path(__file__).with_name("prompt.toml")
READ, SURE = 3, 10.0
"""Passages that a language model reads, and the log-odds that its word stands for."""
SCORES = b"ForSequenceClassification"
"""In the config.json of a classifier, as its architecture."""


@runtime_checkable
class SecondOpinion(Protocol):
    """Who says how well passages support a claim."""

    def best_support(self, claim: str, texts: Sequence[PassageText]) -> Supported | None:
        """The place that supports a claim best, with its log-odds; None: no opinion."""
        ...


class ModelVerifier(NamedTuple):
    """A language model that says whether a passage supports a claim."""

    model: LanguageModel
    prompt: Template

    def best_support(self, claim: str, texts: Sequence[PassageText]) -> Supported | None:
        """The first passage that it says supports the claim; else that none does, if it says so."""
        read = [text for text in texts[:READ] if text.passage.text.strip()]
        shown = (Datum(t.passage.text, " > ".join(t.passage.headings)) for t in read)
        asked = [self.prompt.fill({"passage": [each], "claim": claim}) for each in shown]
        said = self.model.generate(asked, Sampling(max_tokens=4, choices=("yes", "no")))
        words = [re.findall(r"\w+", answer.text.lower())[:1] for answer in said]
        for text, word in zip(read, words, strict=True):
            if word == ["yes"]:
                start, end = text.passage.start, text.passage.end
                return Supported(SURE, text.document.quote(start, end).location)
        return Supported(-SURE, "") if words and all(word == ["no"] for word in words) else None


def open_opinion(critic: str) -> SecondOpinion:
    """Open a classifier's directory, a language model's, or URL#NAME of one on a server.

    Raises ArtifactError for a directory of neither, ConfigError for an encoder.
    """
    config = Path(critic) / "config.json"
    if config.is_file() and SCORES in config.read_bytes():
        return PairScorer.open(Path(critic))
    try:
        return ModelVerifier(open_language_model(critic)[0], Template.read(PROMPT))
    except ConfigError as error:
        what = "a language model that generates, or a classifier with one label"
        raise ConfigError(f"--critic takes {what}, which {critic} is not: {error}") from None
