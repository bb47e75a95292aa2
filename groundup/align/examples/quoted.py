"""Questions with answers quoted from documents, in conversations of one to three turns.

The questions are those of a test set (corpus/questions), of other documents: an answer is a slice
of its document, and a question about a name that no document has is refused. Some conversations go
on: with another question about the document, or with the sentence that an answer stands in.
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from groundup.corpus import QuestionCandidate
from groundup.documents import Record, module_name

from .exchanges import (
    PHRASINGS,
    REFUSAL_TEXT,
    ChatExample,
    conversation,
    draw_follow_up,
    shuffle_copy,
)

MAX_QUOTE = 300
"""Characters of a sentence that is quoted."""
SENTENCE_BREAK = re.compile(r"\n\s*\n|(?<=[.!?])\s+|\n(?=\s*(?:[-*+|#>]|\d+\.)\s)")
CODE_BREAK = re.compile(r"\n")
LIST_SIGNS = re.compile(r"^(?:[-*+>#|]+|\d+\.)\s+")


def quoted_conversations(
    questions: Iterable[QuestionCandidate], documents: Mapping[str, Record], rng: random.Random
) -> Iterator[ChatExample]:
    """Ask each question once, alone or with others about the same document.

    Kinds: `question`, `refusal` of a question without an answer, `dialogue` of several turns.
    """
    by_document = dict[str, list[QuestionCandidate]]()
    for question in shuffle_copy(questions, rng):
        by_document.setdefault(question.path, []).append(question)
    for path, waiting in by_document.items():
        while waiting:
            count = rng.choice((2, 3)) if draw_follow_up(rng) else 1
            turns, waiting = waiting[:count], waiting[count:]
            yield _conversation(turns, documents[path], count > 1, rng)


def _conversation(
    turns: Sequence[QuestionCandidate], document: Record, is_long: bool, rng: random.Random
) -> ChatExample:
    texts = [text for one in turns for text in (one.question, one.answer or REFUSAL_TEXT)]
    places = [f"{one.path}, line {one.answer_location['line']}" for one in turns if one.answer]
    sentence = _sentence_of(turns[-1], document) if turns[-1].answer else ""
    if is_long and len(turns) < 3 and sentence:
        texts += [rng.choice(PHRASINGS["where_next"]), f"“{sentence}”"]
    refuses = texts[-1] == REFUSAL_TEXT
    kind = "dialogue" if len(texts) > 2 else "refusal" if refuses else "question"
    talk = conversation(kind, module_name(document.path), *texts)
    return replace(talk, refusal=refuses, source="".join(places[-1:]))


def _sentence_of(question: QuestionCandidate, document: Record) -> str:
    """The sentence or list entry that an answer stands in, on one line; empty if it is long."""
    start, end = question.answer_location["start"], question.answer_location["end"]
    pattern = CODE_BREAK if document.kind == "python" else SENTENCE_BREAK
    low = max(0, start - MAX_QUOTE)
    breaks = [each.end() for each in pattern.finditer(document.text, low, start)]
    after = pattern.search(document.text, end)
    stop = after.start() if after else len(document.text)
    if not breaks and low or stop - start > MAX_QUOTE:
        return ""
    sentence = " ".join(document.text[breaks[-1] if breaks else 0 : stop].split())
    return LIST_SIGNS.sub("", sentence, count=1).replace('"""', "").strip()
