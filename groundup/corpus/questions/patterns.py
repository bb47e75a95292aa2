"""The words in which documentation says something about a name, read from patterns.toml."""

import re
from pathlib import Path

from ..tables import Tables

TABLES = Tables(Path(__file__).with_name("patterns.toml"))


def _compile(name: str) -> re.Pattern[str]:
    """A single pattern of the file."""
    return re.compile(TABLES.expand(TABLES.data["patterns"][name]))


def _compile_all(name: str) -> list[re.Pattern[str]]:
    """A list of alternative patterns of the file, the first match of which counts."""
    return [re.compile(TABLES.expand(written)) for written in TABLES.data["patterns"][name]]


RAISES = _compile_all("raises")
ADDED = _compile("added")
NOTE = _compile("note")
CHANGED = _compile("changed")
DEPRECATED = _compile("deprecated")
ITSELF = TABLES.expand(TABLES.data["patterns"]["itself"])
"""Not compiled: `{name}` stands for the entry's name."""
INSTEAD = _compile_all("instead")
DEFAULT = _compile_all("default")
RETURNS = _compile_all("returns")
VALUES = _compile_all("values")
LIMITS = {
    bound: re.compile(TABLES.expand(written)) for bound, written in TABLES.data["limits"].items()
}
IS_A = _compile("is_a")
HAPPENS = _compile("happens")
HOW = _compile("how")
UNSURE = _compile("unsure")
CLAUSE = _compile("clause")
OTHER = _compile("other")
REPORTS_CHANGE = _compile("reports_change")
TYPE_ALONE = _compile("type_alone")
LEANS = _compile("leans")
REFERRING_SUBJECT = _compile("referring_subject")
GENERIC = _compile("generic")
NOUN_ENDS = _compile("noun_ends")
VERB_IN_HEAD = _compile("verb_in_head")
CODE_WORD = _compile("code_word")
