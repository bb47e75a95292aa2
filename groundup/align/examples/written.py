"""Questions that a language model writes about documents, kept only if a scorer accepts them.

The model is given a passage and writes a question, a quote and an answer as JSON. The quote is
looked for in the document; a scorer, which is handed in, judges the answer with that quote, such as
whether the file has it and the answer says no more. What is written is on disk at once: a killed
run asks for the rest alone.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import (
    Answer,
    Claim,
    Draft,
    LanguageModel,
    Message,
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

from .exchanges import ChatExample, shuffle_copy

PROMPT = Path(__file__).with_name("writing.toml")
FIELDS = ("question", "quote", "answer")
SCHEMA = json.dumps({
    "type": "object", "required": list(FIELDS), "additionalProperties": False,
    "properties": {name: {"type": "string", "maxLength": 300} for name in FIELDS},
})  # fmt: skip
PASSAGE, MIN_PASSAGE, BATCH = 1200, 120, 8
"""Characters of a passage at most and at least; passages that the model is given at once."""
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
        self, limits: tuple[int, int], documents: Mapping[str, Sequence[Record]], draft: Draft
    ) -> dict[str, list[ChatExample]]:
        """The accepted examples of each split; `numbers["written"]` of the draft has the rest.

        limits  passages that are asked about of train, and of each other split
        """
        reasons, found = Counter[str](), dict[str, list[ChatExample]]()
        for split in SPLITS:
            passages = _choose_passages(documents[split], limits[split != "train"])
            written = self._write(passages, draft.scratch / f"written-{split}.jsonl", split)
            examples = list[ChatExample]()
            for passage, text in zip(passages, written, strict=True):
                example = self._accepted(passage, text)
                reasons[example if isinstance(example, str) else "accepted"] += 1
                examples += [example] if isinstance(example, ChatExample) else []
            found[split] = examples
        draft.numbers["written"] = {"by": self.name} | dict(reasons.most_common())
        record.log(f"{self.name} wrote {reasons.total()} questions: {dict(reasons.most_common())}")
        return found

    def _write(self, passages: Sequence[DocumentSlice], file: Path, split: str) -> list[str]:
        """What the model writes about each passage; what is in the file is not asked again."""
        data = file.read_bytes() if file.is_file() else b""
        complete = data[: data.rfind(b"\n") + 1]
        written: list[str] = [json.loads(line) for line in complete.splitlines()]
        template, stage = Template.read(PROMPT), f"questions about {split}"
        with (
            open(file, "ab") as lines,
            record.progress(stage, len(passages), "passages", len(written)) as progress,
        ):
            lines.truncate(len(complete))
            while len(written) < len(passages):
                some = passages[len(written) : len(written) + BATCH]
                asked = [template.fill({"passage": [Datum(each.text, each.document.path)]})
                         for each in some]  # fmt: skip
                sampling = Sampling(max_tokens=MAX_TOKENS, json_schema=SCHEMA)
                said = [each.text for each in self.model.generate(asked, sampling)]
                lines.write("".join(f"{json.dumps(text)}\n" for text in said).encode())
                lines.flush()
                written += said
                progress.advance(len(said))
        return written

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
        cited = passage.document.quote(*match.span())
        path = passage.document.path
        messages = (Message("user", question), Message("assistant", answer))
        sample = Sample(path, messages[:1], (cited.text,), path, {"document": path})
        score = self.accept(sample, Answer(answer, claims=(Claim(answer, (cited,)),)))
        if isinstance(score, Reason) or score.value < 1:
            return score.code if isinstance(score, Reason) else "not accepted"
        source = f"{path}, line {cited.line}"
        return ChatExample("", "written", module_name(path), messages, source=source)


def _choose_passages(documents: Sequence[Record], count: int) -> list[DocumentSlice]:
    """Passages in turns of their documents, in random order."""
    order = shuffle_copy(documents, random.Random("written"))
    waiting, chosen = [_passages(each) for each in order], list[DocumentSlice]()
    while waiting and len(chosen) < count:
        for own in list(waiting):
            passage = next(own, None)
            if passage is None:
                waiting.remove(own)
            elif len(chosen) < count:
                chosen.append(passage)
    return chosen


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
