"""A training objective: how token sequences become a batch, and the loss on it.

A batch is a pure function of the sequences, the seed and the step. A step belongs to one epoch, so
masks are drawn again each time a text is seen; `dynamic=False` draws once per text.
Every objective respects packing: it masks, moves and predicts within one document.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from pydantic import Field
from torch import nn

from groundup.core import Config, ConfigError, Tokenizer
from groundup.kernels import LossSum
from groundup.model import ModelConfig
from groundup.tokenizer import TextBatch as Windows

from ..batches import MicroBatch
from .draws import KeyedRandom
from .token_properties import TokenProperties

ObjectiveName = Literal[
    "causal", "prefix", "middle", "masked", "boundary", "next_sentence", "corruption", "denoising"
]
ModelKind = Literal["decoder", "encoder", "encoder_decoder"]


class NoiseConfig(Config):
    """How an objective masks or corrupts text; each reads the fields it needs."""

    rate: float | None = Field(default=None, gt=0, lt=1)
    """Share of the tokens that are masked; None: the paper's, 0.3 for BART and 0.15 otherwise."""
    whole_words: bool = True
    """Mask whole words, not single tokens."""
    dynamic: bool = True
    """Draw masks again each time a text is seen (RoBERTa), not once per text."""
    mean_length: float = Field(default=3.0, ge=1)
    """Mean tokens per span, for T5 and (Poisson) BART."""
    permute: bool = True
    """Shuffle a document's sentences too (BART)."""
    middle_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of the documents transformed to fill-in-the-middle."""
    suffix_first: float = Field(default=0.5, ge=0, le=1)
    """Share of these in suffix-prefix-middle order (SPM); the others are PSM."""
    characters: bool = True
    """Split at characters, even within tokens, not at token boundaries."""


class ObjectiveContext(NamedTuple):
    """What batches depend on, in addition to the sequences."""

    token_properties: TokenProperties
    noise: NoiseConfig
    tokenizer: Tokenizer
    seed: int = 0


class BatchInputs(NamedTuple):
    """Inputs from which to make one batch."""

    context: ObjectiveContext
    rows: Windows
    step: int

    def keyed_random(self, row: int, purpose: str = "noise") -> KeyedRandom:
        """Random numbers of one sequence: by step, or by its text alone."""
        seed = self.context.seed
        if self.context.noise.dynamic:
            return KeyedRandom(seed, purpose, self.step, row)
        return KeyedRandom(seed, purpose, self.rows.ids[row].tolist())


class Objective(NamedTuple):
    """A training objective for one kind of model."""

    name: ObjectiveName
    kind: ModelKind
    """Kind of model that it trains."""
    description: str
    """What the model predicts, in one line."""
    make_batch: Callable[[BatchInputs], MicroBatch]
    loss: Callable[..., LossSum]
    """(model with its head, batch, optional Routing to fill) -> loss sum."""
    required_specials: tuple[str, ...] = ()
    """Special tokens that the tokenizer must have."""
    head: Callable[[ModelConfig], nn.Module] | None = None
    """Builds the head that is trained with the model."""
    sentinels: Callable[[int, NoiseConfig], int] | None = None
    """Number of sentinels for a document of a length."""

    def check(self, config: ModelConfig, setting: ObjectiveContext, length: int) -> None:
        """Raise ConfigError if the model or the tokenizer does not fit the objective."""
        if config.kind != self.kind:
            raise ConfigError(
                f"The objective {self.name!r} trains models of kind {self.kind!r}, but this one "
                f"is of kind {config.kind!r}; choose another objective or preset."
            )
        for name in self.required_specials:
            setting.token_properties.special_token_id(name)
        if self.sentinels is not None:
            self.check_sentinels(self.sentinels, setting, length)

    def check_sentinels(
        self, needed: Callable[[int, NoiseConfig], int], setting: ObjectiveContext, length: int
    ) -> None:
        """Raise ConfigError if a document of `length` tokens has more spans than sentinels."""
        wanted, available = needed(length, setting.noise), len(setting.token_properties.sentinels)
        if wanted <= available:
            return
        problem = (
            f"The objective {self.name!r} needs {wanted} sentinels for sequences of {length} "
            f"tokens, but the tokenizer has {available}; "
        )
        if available < 2:
            raise ConfigError(problem + """make it with --set 'specials=["chat", "sentinels"]'.""")
        fitting = length * available // wanted
        raise ConfigError(problem + f"set length and context_length to at most {fitting}.")

    def batch(self, setting: ObjectiveContext, rows: Windows, step: int) -> MicroBatch:
        """The batch of a step."""
        return self.make_batch(BatchInputs(setting, rows, step))
