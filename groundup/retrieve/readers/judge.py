"""Whether what was found answers the question, by a reader's opinion of it.

What words find may speak of the same thing and not answer. The reader reads the best quote below
its titles; an answer whose log-odds are below the index's `veto`, or below what a promised risk
takes, is refused, and the quote shown. It judges documents in the languages that it reads, and one
question at a time: several facts at once are left to words, but for a promise.
"""

from typing import TYPE_CHECKING, NamedTuple

from groundup.core import Passage

if TYPE_CHECKING:
    from ..search import OpenIndex


class Opinion(NamedTuple):
    """What the reader thinks of a text."""

    log_odds: float
    """That it answers, rather than nothing."""
    is_veto: bool


def opinion(index: "OpenIndex", question: str, passage: Passage, text: str) -> Opinion | None:
    """Whether a text of a passage answers a question; None where the reader does not judge."""
    choice, language = index.reader_choice, index.entries[passage.document].language
    if language not in choice.languages or (reader := index.reader) is None:
        return None
    found = reader.read(question, [below_titles(passage, text)])[0].score
    return Opinion(round(found, 3), found < (index.dial.threshold if index.dial else choice.veto))


def below_titles(passage: Passage, text: str) -> str:
    """A text as the reader reads it."""
    titles = " > ".join(passage.headings)
    return f"{titles}. {text}" if titles else text
