"""What a pipeline can name: readers, steps and surveys, from the rooms' tables or one's own.

A name with a colon is `module:Class` of anybody's package; every other one stands in a table. The
modules are imported when they are named, so nobody waits for what is not used.
"""

from collections.abc import Mapping

from groundup.core import ConfigError, choice
from groundup.documents import READERS, STEPS
from groundup.documents import REMOVED as REMOVED_DOCUMENT_STEPS

from .. import decontaminate, dedup
from ..engine.worker import load
from ..mixture import augment

CORPUS_STEPS: dict[str, str] = {
    **dedup.STEPS,
    **dedup.SURVEYS,
    **decontaminate.STEPS,
    **augment.DERIVES,
    "code.folder_licences": "groundup.corpus.prepare.folder_licences:FolderLicences",
    "conversations.join": "groundup.corpus.threads:Join",
    "conversations.threads": "groundup.corpus.threads:Threads",
    "language.identify": "groundup.corpus.language:Identify",
    "language.paragraphs": "groundup.corpus.language:Paragraphs",
    "quality.c4": "groundup.corpus.quality.rules:C4",
    "quality.classifier": "groundup.corpus.quality.classifier:ClassifierStep",
    "quality.fineweb": "groundup.corpus.quality.rules:FineWeb",
    "quality.gopher": "groundup.corpus.quality.rules:Gopher",
    "quality.gopher_repetition": "groundup.corpus.quality.rules:GopherRepetition",
    "quality.scorer": "groundup.corpus.quality.scorer:ScorerStep",
    "safety.personal": "groundup.corpus.safety.personal:Personal",
    "safety.secrets": "groundup.corpus.safety.secrets:Secrets",
    "safety.toxicity": "groundup.corpus.safety.toxicity:ToxicityStep",
    "web.site_lines": "groundup.corpus.quality.sites:SiteLines",
}
"""Steps, surveys and derivations of this room, by the names that a pipeline calls them."""

REMOVED: dict[str, str] = {
    "augment.comments": "use `augment.fim`, or a derivation of your own as `module:Class`.",
    "augment.noise": "use `augment.fim`, or a derivation of your own as `module:Class`.",
    **REMOVED_DOCUMENT_STEPS,
    "code.repositories": "use `dedup.exact` for equal files and `dedup.minhash` for similar ones.",
    "dedup.sentences": "use `dedup.substrings` (`fold = true` ignores case).",
    "quality.perplexity": "use `quality.scorer` with your own model's likelihood as the scorer.",
}
"""Steps that earlier versions had: what to use instead."""


def step_target(name: str) -> str:
    """`module:Class` of a step or survey; ConfigError naming the nearest one or the replacement."""
    if name in REMOVED:
        raise ConfigError(f"use={name!r} was removed; {REMOVED[name]}")
    return target(name, STEPS | CORPUS_STEPS, "use")


def reader_target(name: str) -> str:
    """`module:Class` of a reader; ConfigError naming the nearest one."""
    return target(name, READERS, "reader")


def target(name: str, table: Mapping[str, str], what: str) -> str:
    """What a name means."""
    return name if ":" in name else table[choice(what, name, sorted(table))]


def is_derivation(name: str) -> bool:
    """Whether a name, or the class that it leads to, stands in the table of derivations."""
    return name in augment.DERIVES or name in augment.DERIVES.values()


def is_survey(place: str) -> bool:
    """Whether a class judges all records together."""
    return callable(getattr(load(place), "rulings", None))
