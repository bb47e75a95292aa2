"""Which of two answers is better, by a model that is asked in both orders, by written principles.

A judge that changes its mind with the order gives a tie; one that answers nonsense, a reason.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from groundup.core import (
    Answer,
    ConfigError,
    Conversation,
    LanguageModel,
    Reason,
    Sample,
    Sampling,
    Score,
    digest,
)
from groundup.prompt import Datum, Template

from .asking import AskingConfig, ask_model

VERDICT = re.compile(r"verdict\W{0,5}(1|2|tie)\b", re.IGNORECASE)
QUESTIONS = {
    "written": "Which answer is better by the principles? Give the reason in one sentence, then "
    "end with Verdict: 1, Verdict: 2 or Verdict: tie.",
    "choice": "Which answer is better by the principles? Write 1, 2 or tie, and nothing else.",
}
SWAPPED = {"1": "2", "2": "1", "tie": "tie"}
FIRST_SCORES = {"1": 1.0, "2": 0.0, "tie": 0.5}
MAX_QUOTED = 500
"""Characters of a reply that are kept."""


class JudgeConfig(AskingConfig):
    """How a model compares."""

    reply: Literal["written", "choice"] = "written"
    """A reason that ends with the verdict; choice: bound to 1, 2 or tie, for small models."""


def read_principles(path: Path | None = None) -> tuple[str, ...]:
    """The lines of a text, but for those that begin with #; by default the package's.

    Raises ConfigError if it cannot be read or has none.
    """
    path = path or Path(__file__).with_name("principles.txt")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The principles {path} cannot be read ({error}).") from None
    found = tuple(line.strip() for line in lines if line.strip() and line[0] != "#")
    if not found:
        raise ConfigError(f"{path} has no principle; expected a sentence a line.")
    return found


class PromptedPair(NamedTuple):
    """Two answers to a prompt."""

    prompt: Conversation
    first: str
    second: str


class PairVerdict(NamedTuple):
    """Which of two answers is better."""

    score: float
    """Of the first: 1 if it is better, 0 if the second is, 0.5 for a tie."""
    is_consistent: bool
    """Whether both orders gave the same verdict; else the score is 0.5."""
    reason: str
    """What was replied to the first order."""


@dataclass(frozen=True)
class PairwiseJudge:
    """A model that compares two answers; as a Scorer, an answer with the sample's reference."""

    model: LanguageModel | None
    """None to show prompts alone."""
    config: JudgeConfig
    principles: tuple[str, ...]
    template: Template
    identity: str
    """Of the weights, or the server's model."""

    @property
    def signature(self) -> str:
        """What its verdicts depend on."""
        values = [self.identity, self.config.hashed_values(), list(self.principles)]
        return f"pairwise|orders:2|{digest([*values, self.template.to_dict()])[:8]}"

    def prompt(self, pair: PromptedPair) -> Conversation:
        """What the model is asked."""
        return self.template.fill({
            "principle": [Datum(each) for each in self.principles],
            "turn": turns_as_data(pair.prompt),
            "answer": [Datum(pair.first), Datum(pair.second)],
            "question": QUESTIONS[self.config.reply],
        })  # fmt: skip

    def prompts(self, pair: PromptedPair) -> tuple[Conversation, Conversation]:
        """What it is asked in either order."""
        return self.prompt(pair), self.prompt(PromptedPair(pair.prompt, pair.second, pair.first))

    def verdicts(self, pairs: Sequence[PromptedPair]) -> Iterator[tuple[int, PairVerdict | Reason]]:
        """The verdicts and their pairs' indices, as they come."""
        assert self.model is not None or not pairs
        sampling = Sampling(max_tokens=self.config.max_tokens)
        if self.config.reply == "choice":
            sampling = Sampling(max_tokens=self.config.max_tokens, choices=("1", "2", "tie"))
        prompts = [prompt for pair in pairs for prompt in self.prompts(pair)]
        earlier: dict[int, str | Reason] = {}
        for index, reply in ask_model(self.model, prompts, sampling) if self.model else ():
            at, is_swapped = divmod(index, 2)
            if at not in earlier:
                earlier[at] = reply
                continue
            other = earlier.pop(at)
            yield at, _combine(other, reply) if is_swapped else _combine(reply, other)

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """1 if an answer is better than the sample's first reference, 0 if worse, 0.5 for a tie."""
        if not sample.references:
            return Reason("no_reference", "There is no answer to compare with.")
        pair = PromptedPair(sample.conversation, answer.text, sample.references[0])
        [(_, verdict)] = self.verdicts([pair])
        return verdict if isinstance(verdict, Reason) else Score(verdict.score, self.signature)


def turns_as_data(conversation: Conversation) -> list[Datum]:
    """The turns of a conversation for a prompt, each with its role."""
    return [Datum(turn.content, turn.role) for turn in conversation]


def parse_verdict(reply: str) -> str | Reason:
    """The verdict of a reply: 1, 2 or tie; the last one counts.

    >>> parse_verdict("The second says why. **Verdict: 2**"), parse_verdict(" Tie\\n")
    ('2', 'tie')
    """
    found = VERDICT.findall(reply) or [reply.strip().strip(".")]
    if (verdict := found[-1].lower()) in SWAPPED:
        return verdict
    return Reason("no_verdict", f"The judge gave no verdict: {reply.strip()[:MAX_QUOTED]!r}")


def _combine(reply: str | Reason, swapped: str | Reason) -> PairVerdict | Reason:
    """The verdict of both orders' replies."""
    both = [each if isinstance(each, Reason) else parse_verdict(each) for each in (reply, swapped)]
    for each in both:
        if isinstance(each, Reason):
            return each
    is_same = both[0] == SWAPPED[str(both[1])]
    score = FIRST_SCORES[str(both[0])] if is_same else 0.5
    return PairVerdict(score, is_same, str(reply).strip()[:MAX_QUOTED])
