"""The recipe's test set: held-out conversations, sealed as samples, and read back as examples.

A sample holds all messages but the last; the last answer is its reference. What the example said of
itself (kind, refusal, known, exposure) is the sample's metadata.
"""

from collections.abc import Iterator
from pathlib import Path

from groundup.align import ChatExample, read_examples
from groundup.core import Artifact, Message, Sample
from groundup.measure import TestSetCard, make_testset, read_samples

CARD = TestSetCard(
    name="held-out conversations",
    source="The test split of the examples: functions and sections of files that training never "
    "reads; names of train's files, asked in words that training never uses, and made-up ones.",
    coverage="What code does, docstrings, code for a description, topics, names that exist and "
    "names that do not. Answers are text of the documents.",
    licence="That of Python's own text: PSF License.",
)


def seal_questions(examples: Artifact, out: Path) -> Artifact:
    """Make the test split of examples a test set, with a card and a ledger of looks."""
    samples = (sample(example) for example in read_examples(examples, "test"))
    return make_testset(CARD, samples, {"examples": examples}, out)


def read_questions(testset: Artifact) -> Iterator[ChatExample]:
    """Yield the conversations of a test set that `seal_questions` made."""
    for found in read_samples(testset):
        answer = Message("assistant", found.references[0])
        yield ChatExample(
            found.id, group=found.group, messages=(*found.conversation, answer), **found.metadata
        )


def sample(example: ChatExample) -> Sample:
    """An example as a scorer sees it: without its last answer."""
    about = {name: getattr(example, name) for name in ("kind", "refusal", "known", "exposure")}
    reference = example.messages[-1].content
    return Sample(example.id, example.messages[:-1], (reference,), example.group, about)
