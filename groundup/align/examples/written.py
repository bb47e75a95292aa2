"""Questions that a language model writes about documents, kept only if a scorer accepts them.

The model is given a passage and writes a question, a quote and an answer as JSON. The quote is
looked for in the document; a scorer, which is handed in, judges the answer with that quote, such as
whether the file has it and the answer says no more. A killed run asks for the rest alone.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from groundup.core import (
    Answer,
    Claim,
    Draft,
    LanguageModel,
    Reason,
    Sample,
    Sampling,
    Scorer,
    digest,
    record,
)
from groundup.corpus import SPLITS, rejection_reason
from groundup.documents import Record, module_name
from groundup.prompt import Datum, Template

from ..feedback.asking import Asker
from .exchanges import ChatExample, conversation, shuffle_copy

PROMPT = Path(__file__).with_name("writing.toml")
FIELDS = ("question", "quote", "answer")
SCHEMA = json.dumps({
    "type": "object", "required": list(FIELDS), "additionalProperties": False,
    "properties": {name: {"type": "string", "maxLength": 300} for name in FIELDS},
})  # fmt: skip
PASSAGE, MIN_PASSAGE = 1200, 120
"""Characters of a passage at most and at least."""
MAX_TOKENS, MAX_WORDS = 400, 60
"""Of what the model writes, and of its answer."""


class DocumentSlice(NamedTuple):
    """A slice of a document at blank lines."""

    document: Record
    start: int
    text: str


class ExampleWriter(NamedTuple):
    """A model that writes questions, and what accepts them."""

    model: LanguageModel
    name: str
    """Identifies the model: its path and id, or its address."""
    accept: Scorer
    """Gives 1 to an answer that may be trained on; its claim has the quote."""

    @property
    def digest(self) -> str:
        """Of what decides which examples are written."""
        return digest([self.name, PROMPT.read_text(encoding="utf-8"), SCHEMA])

    def conversations(
        self,
        limits: tuple[int, int],
        documents: Mapping[str, Sequence[Record]],
        draft: Draft,
        accept_failures: bool = False,
    ) -> dict[str, list[ChatExample]]:
        """The accepted examples of each split; `numbers["written"]` of the draft has the rest.

        limits  passages that are asked about of train, and of each other split
        """
        reasons, found = Counter[str](), dict[str, list[ChatExample]]()
        sampling = Sampling(max_tokens=MAX_TOKENS, json_schema=SCHEMA)
        asker, template = Asker(self.model, draft.scratch, accept_failures), Template.read(PROMPT)
        for split in SPLITS:
            passages = _choose_passages(documents[split], limits[split != "train"])
            written = asker.ask(f"questions about {split}", {
                at: template.fill({"passage": [Datum(each.text, each.document.path)]})
                for at, each in enumerate(passages)
            }, sampling)  # fmt: skip
            tried = [
                self._accepted(each, written[at]) if at in written else asker.failed[at]
                for at, each in enumerate(passages)
            ]
            reasons.update(each if isinstance(each, str) else "accepted" for each in tried)
            found[split] = [each for each in tried if isinstance(each, ChatExample)]
        draft.numbers["written"] = {"by": self.name} | dict(reasons.most_common())
        record.log(f"{self.name} wrote {reasons.total()} questions: {dict(reasons.most_common())}")
        return found

    def _accepted(self, passage: DocumentSlice, text: str) -> ChatExample | str:
        """The example, or why it is not accepted."""
        try:
            row = json.loads(text)
            question, quote, answer = (" ".join(str(row[name]).split()) for name in FIELDS)
        except (ValueError, KeyError, TypeError, RecursionError):
            return "no JSON of question, quote and answer"
        words = r"\s+".join(map(re.escape, quote.split()))
        match = re.compile(words).search(passage.document.text, passage.start) if words else None
        if match is None:
            return "quote is not in the document"
        if reason := rejection_reason(question, answer, MAX_WORDS):
            return reason
        cited, path = passage.document.quote(*match.span()), passage.document.path
        talk = conversation("written", module_name(path), question, answer)
        sample = Sample(path, talk.messages[:1], (cited.text,), path, {"document": path})
        score = self.accept(sample, Answer(answer, claims=(Claim(answer, (cited,)),)))
        if isinstance(score, Reason) or score.value < 1:
            return score.code if isinstance(score, Reason) else "not accepted"
        return replace(talk, source=f"{path}, line {cited.line}")


def _choose_passages(documents: Sequence[Record], count: int) -> list[DocumentSlice]:
    """Passages in turns of their documents, in random order."""
    order = shuffle_copy(documents, random.Random("written"))
    turns = chain.from_iterable(zip_longest(*map(_passages, order)))
    return list(islice(filter(None, turns), count))


def _passages(document: Record) -> Iterator[DocumentSlice]:
    """Slices at blank lines, each as long as fits."""
    text, start = document.text, 0
    while start < len(text):
        end = len(text)
        if end - start > PASSAGE:
            cut = text.rfind("\n\n", start + MIN_PASSAGE, start + PASSAGE)
            end = cut if cut > 0 else start + PASSAGE
        if len(text[start:end].strip()) >= MIN_PASSAGE:
            yield DocumentSlice(document, start, text[start:end].strip())
        start = end
