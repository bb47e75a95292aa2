"""An objective: how token rows become a batch, and what the model loses on it.

A batch is a pure function of the rows, the seed and the step. A step belongs to one epoch, so what
is hidden is drawn anew each time that a text is seen; `dynamic=False` draws once for each text.
Every objective keeps packed documents apart: what it hides, moves or asks for stays in a document.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from pydantic import Field
from torch import nn

from groundup.core import Config, ConfigError, Tokenizer
from groundup.kernels import LossSum
from groundup.model import ModelConfig
from groundup.tokenizer import Batch as Windows

from ..batches import Batch
from .draws import Draws
from .vocabulary import Vocabulary

ObjectiveName = Literal[
    "causal", "prefix", "middle", "masked", "boundary", "next_sentence", "corruption", "denoising"
]
Kind = Literal["decoder", "encoder", "encoder_decoder"]


class NoiseConfig(Config):
    """How an objective damages text; each reads what concerns it."""

    rate: float | None = Field(default=None, gt=0, lt=1)
    """Share of the tokens that are hidden; None: the paper's, 0.3 for BART and 0.15 else."""
    whole_words: bool = True
    """Masked words are hidden whole; else single tokens are."""
    dynamic: bool = True
    """What is hidden is drawn anew each time that a text is seen (RoBERTa); else once for all."""
    mean_length: float = Field(default=3.0, ge=1)
    """Tokens of a span of T5 and, with Poisson's lengths, of BART."""
    permute: bool = True
    """BART shuffles a document's sentences too."""
    middle_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of the documents whose middle is moved to the end."""
    suffix_first: float = Field(default=0.5, ge=0, le=1)
    """Share of these whose suffix comes before their prefix (SPM), else after it (PSM)."""
    characters: bool = True
    """Middles begin and end between characters, even within tokens; else between tokens."""


class Setting(NamedTuple):
    """What the making of batches depends on besides the rows."""

    known: Vocabulary
    noise: NoiseConfig
    tokenizer: Tokenizer
    seed: int = 0


class Making(NamedTuple):
    """One batch to be made."""

    setting: Setting
    rows: Windows
    step: int

    def draws(self, row: int, purpose: str = "noise") -> Draws:
        """The chance of one row: of its step, or of its text alone."""
        seed = self.setting.seed
        if self.setting.noise.dynamic:
            return Draws(seed, purpose, self.step, row)
        return Draws(seed, purpose, self.rows.ids[row].tolist())


class Objective(NamedTuple):
    """What to train a kind of model to do."""

    name: ObjectiveName
    kind: Kind
    """Of the models that it trains."""
    special: str
    """What it asks of a model, in one line."""
    make: Callable[[Making], Batch]
    loss: Callable[..., LossSum]
    """Takes the model (with its head, if it has one), a batch, and where routing is noted."""
    needs: tuple[str, ...] = ()
    """Special tokens that the tokenizer must have."""
    head: Callable[[ModelConfig], nn.Module] | None = None
    """What is trained beside the model."""
    sentinels: Callable[[int, NoiseConfig], int] | None = None
    """Number of sentinels that a document of so many tokens needs."""

    def check(self, config: ModelConfig, setting: Setting, length: int) -> None:
        """Raise ConfigError if the model or the tokenizer does not fit, before anything starts."""
        if config.kind != self.kind:
            raise ConfigError(
                f"The objective {self.name!r} trains a model of kind {self.kind!r}, and this one "
                f"is of kind {config.kind!r}; take another objective or preset."
            )
        for name in self.needs:
            setting.known.special(name)
        if self.sentinels is not None:
            self.check_sentinels(self.sentinels, setting, length)

    def check_sentinels(
        self, needed: Callable[[int, NoiseConfig], int], setting: Setting, length: int
    ) -> None:
        """Raise ConfigError if a document as long as a row has more spans than sentinels."""
        wanted, there = needed(length, setting.noise), len(setting.known.sentinels)
        if wanted <= there:
            return
        said = (
            f"The objective {self.name!r} needs {wanted} sentinels for rows of {length} tokens, "
            f"and the tokenizer has {there}; "
        )
        if there < 2:
            raise ConfigError(said + """make it with --set 'specials=["chat", "sentinels"]'.""")
        fitting = length * there // wanted
        raise ConfigError(
            said + f"shorten the rows: set length and context_length to {fitting} at most."
        )

    def batch(self, setting: Setting, rows: Windows, step: int) -> Batch:
        """The batch of a step."""
        return self.make(Making(setting, rows, step))
