"""Names in a pipeline: readers, steps and global steps, from the packages' tables or user code.

A name with a colon is `module:Class` of any package; every other name is in a table. Modules are
imported only when named, so unused ones cost nothing.
"""

from collections.abc import Mapping

from groundup.core import ConfigError, check_choice
from groundup.documents import READERS, STEPS
from groundup.documents import REMOVED as REMOVED_DOCUMENT_STEPS

from .. import decontaminate, dedup
from ..engine.worker import import_object
from ..mixture import augment

CORPUS_STEPS: dict[str, str] = {
    **dedup.STEPS,
    **dedup.SURVEYS,
    **decontaminate.STEPS,
    **augment.DERIVATIONS,
    "code.folder_licences": "groundup.corpus.prepare.folder_licences:FolderLicences",
    "conversations.join": "groundup.corpus.threads:JoinThreads",
    "conversations.threads": "groundup.corpus.threads:ThreadPositions",
    "language.identify": "groundup.corpus.language:IdentifyLanguage",
    "language.paragraphs": "groundup.corpus.language:LanguageParagraphs",
    "quality.c4": "groundup.corpus.quality.rules:C4",
    "quality.classifier": "groundup.corpus.quality.classifier:ClassifierStep",
    "quality.fineweb": "groundup.corpus.quality.rules:FineWeb",
    "quality.gopher": "groundup.corpus.quality.rules:Gopher",
    "quality.gopher_repetition": "groundup.corpus.quality.rules:GopherRepetition",
    "quality.scorer": "groundup.corpus.quality.scorer:ScorerStep",
    "safety.personal": "groundup.corpus.safety.personal:ReplacePersonal",
    "safety.secrets": "groundup.corpus.safety.secrets:ReplaceSecrets",
    "safety.toxicity": "groundup.corpus.safety.toxicity:ToxicityStep",
    "web.site_lines": "groundup.corpus.quality.sites:SiteLines",
}
"""Steps, global steps and derivers of this package, by their names in a pipeline."""

REMOVED: dict[str, str] = {
    "augment.comments": "use `augment.fim`, or a derivation of your own as `module:Class`.",
    "augment.noise": "use `augment.fim`, or a derivation of your own as `module:Class`.",
    **REMOVED_DOCUMENT_STEPS,
    "code.repositories": "use `dedup.exact` for equal files and `dedup.minhash` for similar ones.",
    "dedup.sentences": "use `dedup.substrings` (`fold = true` ignores case).",
    "quality.perplexity": "use `quality.scorer` with your own model's likelihood as the scorer.",
}
"""Steps of earlier versions and their replacements."""


def step_target(name: str) -> str:
    """`module:Class` of a step; ConfigError suggests the nearest name or the replacement."""
    if name in REMOVED:
        raise ConfigError(f"use={name!r} was removed; {REMOVED[name]}")
    return _look_up(name, STEPS | CORPUS_STEPS, "use")


def reader_target(name: str) -> str:
    """`module:Class` of a reader; ConfigError suggests the nearest name."""
    return _look_up(name, READERS, "reader")


def _look_up(name: str, table: Mapping[str, str], what: str) -> str:
    """Look up a name in a table."""
    return name if ":" in name else table[check_choice(what, name, sorted(table))]


def is_deriver(name: str) -> bool:
    """Whether a name or target is in the table of derivers."""
    return name in augment.DERIVATIONS or name in augment.DERIVATIONS.values()


def is_global_step(target: str) -> bool:
    """Whether a class is a global step."""
    return callable(getattr(import_object(target), "rulings", None))
