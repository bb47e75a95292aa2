"""The step `quality.scorer`: any Scorer judges a record's text, by `module:function`.

Metrics, judges and reward models are Scorers; one that rates prose is a filter. The record is the
answer, its metadata are the sample's. What the scorer cannot score is kept, with the reason why.
"""

import importlib
import json

from pydantic import Field

from groundup.core import Answer, Config, ConfigError, File, Reason, Sample, Scorer
from groundup.documents import Record, Ruling


class ScorerConfig(Config):
    """Which scorer judges, and what goes."""

    scorer: str
    """`module:name` of a Scorer, or of a class or function that makes one of `settings`."""
    settings: str = ""
    """JSON object of keyword arguments for the maker; empty: the name is the scorer itself."""
    reads: tuple[File, ...] = ()
    """Files and folders that the scorer opens: a corpus is named by what they hold. Their names
    replace `{0}`, `{1}` … in `settings`."""
    name: str = "score"
    """The score's name in the metadata."""
    least: float | None = None
    """Score below which a record goes; None: only scored."""
    most: float | None = None
    """Score above which a record goes; None: no limit."""
    characters: int = Field(default=50_000, ge=1)
    """Characters that are shown, from the start. Source: own judgement."""


class ScorerStep:
    """Scores a record, drops it by policy."""

    def __init__(self, config: ScorerConfig) -> None:
        self.config = config
        self.scorer = scorer_of(config)

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        config = self.config
        sample = Sample(record.id, (), group=record.path, metadata=dict(record.metadata))
        found = self.scorer(sample, Answer(record.text[: config.characters]))
        if isinstance(found, Reason):
            return Ruling(metadata={f"{config.name}_missing": found.code})
        value = float(found.value)
        if config.least is not None and value < config.least:
            return Ruling(f"scorer: {config.name} low", value, found.signature)
        if config.most is not None and value > config.most:
            return Ruling(f"scorer: {config.name} high", value, found.signature)
        return Ruling(metadata={config.name: value, f"{config.name}_signature": found.signature})


def scorer_of(config: ScorerConfig) -> Scorer:
    """The scorer that a configuration names; ConfigError saying what of the name is wrong."""
    module, colon, name = config.scorer.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"scorer={config.scorer!r} must be `module:name`.")
    settings = config.settings
    for number, path in enumerate(config.reads):
        settings = settings.replace(f"{{{number}}}", json.dumps(str(path))[1:-1])
    try:
        found = getattr(importlib.import_module(module), name)
        made = found(**json.loads(settings)) if settings else found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(f"scorer={config.scorer!r} cannot be made: {error}.") from None
    if isinstance(made, type) or not isinstance(made, Scorer):
        raise ConfigError(
            f"scorer={config.scorer!r} is no Scorer; a class or maker needs settings, such as {{}}."
        )
    return made
