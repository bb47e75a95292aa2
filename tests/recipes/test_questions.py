"""A sealed conversation comes back as it was, and its sample does not give the answer away."""

from pathlib import Path

from groundup.align import REFUSAL_TEXT, ChatExample
from groundup.core import Artifact, Config, Message, produce, write_text
from groundup.measure import read_card, read_samples
from groundup.recipes.questions import read_questions, sample, seal_questions


def turns(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(("user", "assistant")[n % 2], text) for n, text in enumerate(texts))


EXAMPLES = [
    ChatExample(
        "test-0", "explain", "json", turns("What does this do?", "It reads.", "Go on.", "Ü")
    ),
    ChatExample("test-1", "name", "json", turns("What is x.y?", REFUSAL_TEXT), True, False),
    ChatExample("test-2", "name", "abc", turns("And a.b?", "It opens."), False, True, "read"),
]


def examples(folder: Path) -> Artifact:
    lines = "".join(example.to_json() + "\n" for example in EXAMPLES)
    return produce(
        folder, kind="examples", stage="planted", version=1, config=Config(), parents={},
        write=lambda draft: write_text(draft.file("test.jsonl"), lines),
    )  # fmt: skip


def test_a_sealed_conversation_comes_back_as_it_was(tmp_path):
    made = examples(tmp_path / "examples")
    testset = seal_questions(made, tmp_path / "testset")
    assert list(read_questions(testset)) == EXAMPLES
    assert [parent.id for parent in testset.parents] == [made.id]
    assert read_card(testset)["samples"] == 3 and read_card(testset)["groups"] == 2


def test_a_sample_does_not_hold_the_answer_it_asks_for(tmp_path):
    for example in EXAMPLES:
        seen = sample(example)
        assert seen.conversation == example.messages[:-1]
        assert seen.references == (example.messages[-1].content,)
    sealed = list(
        read_samples(seal_questions(examples(tmp_path / "examples"), tmp_path / "testset"))
    )
    assert sealed == [sample(example) for example in EXAMPLES]
