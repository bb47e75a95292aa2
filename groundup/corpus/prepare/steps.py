"""What a pipeline can name: readers, steps and surveys, from the rooms' tables or one's own.

A name with a colon is `module:Class` of anybody's package; every other one stands in a table. The
modules are imported when they are named, so nobody waits for what is not used.
"""

from collections.abc import Mapping

from groundup import documents
from groundup.core import choice
from groundup.documents import STEPS

from ..engine.worker import load

CORPUS_STEPS: dict[str, str] = {}
"""Steps and surveys of this room, by the names that a pipeline calls them."""
READERS: Mapping[str, str] = getattr(documents, "READERS", {})


def step_target(name: str) -> str:
    """`module:Class` of a step or survey; ConfigError naming the nearest one."""
    return target(name, STEPS | CORPUS_STEPS, "use")


def reader_target(name: str) -> str:
    """`module:Class` of a reader; ConfigError naming the nearest one."""
    return target(name, READERS, "reader")


def target(name: str, table: Mapping[str, str], what: str) -> str:
    """What a name means."""
    return name if ":" in name else table[choice(what, name, sorted(table))]


def is_survey(place: str) -> bool:
    """Whether a class judges all records together."""
    return callable(getattr(load(place), "rulings", None))
