"""The words in which documentation says something about a name, read from patterns.toml."""

import re
from pathlib import Path

from ..tables import Tables

TABLES = Tables(Path(__file__).with_name("patterns.toml"))


def compiled(name: str) -> re.Pattern[str]:
    """A single pattern of the file."""
    return re.compile(TABLES.expand(TABLES.data["patterns"][name]))


def all_compiled(name: str) -> list[re.Pattern[str]]:
    """A list of alternative patterns of the file, the first match of which counts."""
    return [re.compile(TABLES.expand(written)) for written in TABLES.data["patterns"][name]]


RAISES = all_compiled("raises")
ADDED = compiled("added")
NOTE = compiled("note")
CHANGED = compiled("changed")
DEPRECATED = compiled("deprecated")
ITSELF = TABLES.expand(TABLES.data["patterns"]["itself"])
"""Not compiled: `{name}` stands for the entry's name."""
INSTEAD = all_compiled("instead")
DEFAULT = all_compiled("default")
RETURNS = all_compiled("returns")
VALUES = all_compiled("values")
LIMITS = {
    bound: re.compile(TABLES.expand(written)) for bound, written in TABLES.data["limits"].items()
}
IS_A = compiled("is_a")
HAPPENS = compiled("happens")
HOW = compiled("how")
UNSURE = compiled("unsure")
CLAUSE = compiled("clause")
OTHER = compiled("other")
NEWS = compiled("news")
TYPE_ALONE = compiled("type_alone")
LEANS = compiled("leans")
POINTING = compiled("pointing")
GENERIC = compiled("generic")
NOUN_ENDS = compiled("noun_ends")
VERB_IN_HEAD = compiled("verb_in_head")
CODE_WORD = compiled("code_word")
