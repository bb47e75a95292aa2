"""The step `quality.scorer`: score a record's text with any Scorer, named as `module:function`.

Metrics, judge models and reward models are Scorers; one that rates prose is a filter. The record is
the answer, its metadata are the sample's. A record that cannot be scored is kept, with the reason.
"""

import importlib
import json

from pydantic import Field

from groundup.core import Answer, Config, ConfigError, InputPath, Reason, Sample, Scorer
from groundup.documents import Record, StepResult


class ScorerConfig(Config):
    """Which scorer rates records, and which are dropped."""

    scorer: str
    """`module:name` of a Scorer, or of a class or function that creates one from `settings`."""
    settings: str = ""
    """JSON object of keyword arguments for the class or function; empty: the name is a Scorer."""
    reads: tuple[InputPath, ...] = ()
    """Files and folders that the scorer reads; the corpus id depends on their content. Their names
    replace `{0}`, `{1}` … in `settings`."""
    name: str = "score"
    """Metadata key of the score."""
    min_score: float | None = None
    """Score below which a record is dropped; None: no limit."""
    max_score: float | None = None
    """Score above which a record is dropped; None: no limit."""
    characters: int = Field(default=50_000, ge=1)
    """Characters that are scored, from the start. Own choice."""


class ScorerStep:
    """The step `quality.scorer`: score a record and drop it by the limits."""

    def __init__(self, config: ScorerConfig) -> None:
        self.config = config
        self.scorer = _load_scorer(config)

    def __call__(self, record: Record) -> StepResult:
        """Score one record."""
        config = self.config
        sample = Sample(record.id, (), group=record.path, metadata=dict(record.metadata))
        result = self.scorer(sample, Answer(record.text[: config.characters]))
        if isinstance(result, Reason):
            return StepResult(metadata={f"{config.name}_missing": result.code})
        value = float(result.value)
        if config.min_score is not None and value < config.min_score:
            return StepResult(f"scorer: {config.name} low", value, result.signature)
        if config.max_score is not None and value > config.max_score:
            return StepResult(f"scorer: {config.name} high", value, result.signature)
        return StepResult(
            metadata={config.name: value, f"{config.name}_signature": result.signature}
        )


def _load_scorer(config: ScorerConfig) -> Scorer:
    """Load the configured scorer; ConfigError if the name is wrong."""
    module, colon, name = config.scorer.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"scorer={config.scorer!r} must be `module:name`.")
    settings = config.settings
    for number, path in enumerate(config.reads):
        settings = settings.replace(f"{{{number}}}", json.dumps(str(path))[1:-1])
    try:
        target = getattr(importlib.import_module(module), name)
        scorer = target(**json.loads(settings)) if settings else target
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(f"scorer={config.scorer!r} cannot be loaded: {error}.") from None
    if isinstance(scorer, type) or not isinstance(scorer, Scorer):
        raise ConfigError(
            f"scorer={config.scorer!r} is not a Scorer; what makes one needs settings."
        )
    return scorer
