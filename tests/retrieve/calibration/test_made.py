"""Questions made of documents are answered there, near misses are not."""

import pytest

from groundup.retrieve import index, open_index
from groundup.retrieve.calibration.made import _infinitive, _statement, made_questions


@pytest.mark.parametrize(
    ("line", "question", "answer"),
    [
        ("The annual meeting is held in the last week of January.",
         "When is the annual meeting held in the last week?", None),
        ("The lease costs 40 euros a year.", "How much does the lease cost a year?", "40 euros"),
        ("A firing can be delayed by up to 72 hours.", "How long can a firing be delayed?",
         "72 hours"),
        ("The crossing takes 50 minutes, and there is tea.", "How long does the crossing take?",
         "50 minutes"),
        ("The assembly point is the lychgate of the church.", "What is the assembly point?",
         "the lychgate of the church"),
        ("The gallery holds twelve old chairs.", "How many old chairs does the gallery hold?",
         "twelve old chairs"),
        ("It lies on the bed for most of its length.", None, None),
        ("When the limit is reached, jobs end.", None, None),
        ("The boards are often wet.", None, None),
        ("The boats a|b is in the yard.", None, None),
        ("The default of `lamp_limit` is 100 seconds.", "How long is the default of `lamp_limit`?",
         "100 seconds"),
    ],
)  # fmt: skip
def test_a_plain_sentence_is_asked(line, question, answer):
    found = _statement(line, "a.md")
    if question is None:
        assert found is None
    elif answer is not None:
        assert found is not None and (found.question, found.answer) == (question, answer)


@pytest.mark.parametrize(
    ("verb", "infinitive"),
    [
        ("carries", "carry"),
        ("lies", "lie"),
        ("reaches", "reach"),
        ("costs", "cost"),
        ("uses", "use"),
    ],
)
def test_the_infinitive(verb, infinitive):
    assert _infinitive(verb) == infinitive


def test_near_misses_are_of_real_things_and_in_no_passage(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(
        "The old punt costs 40 euros.\n\nThe kayak is stored in the north shed.\n\n"
        "| boat | length |\n| --- | --- |\n| Heron | 4 m |\n| Otter | 6 m |\n"
    )
    (tmp_path / "docs" / "b.md").write_text("The bakery opens at noon every day.\n")
    opened = open_index(index(tmp_path / "docs", tmp_path / "i").path)
    made = made_questions(opened, 40, 0.4, 0)
    assert made == made_questions(opened, 40, 0.4, 0)
    answered = {each.text: each.answers for each in made if each.answers}
    assert answered["How much does the old punt cost?"] == ("40 euros",)
    assert answered["What is the length of Otter?"] == ("6 m",)
    near = [each.text for each in made if not each.answers]
    assert near and not any("Otter" in text or "Heron" in text for text in near)
    subjects = ("the old punt", "the kayak", "the bakery")
    assert all(any(subject in text for subject in subjects) for text in near)
    assert not {each.text for each in made if each.answers}.intersection(near)


def test_the_row_of_a_long_table_is_no_near_miss_of_its_own_column(tmp_path):
    (tmp_path / "docs").mkdir()
    place = "in the shed behind the old harbour office"
    rows = "".join(f"boat{n}x,{n} m,{place} {n}\n" for n in range(40))
    (tmp_path / "docs" / "a.csv").write_text(f"boat,mast_length,place\n{rows}")
    (tmp_path / "docs" / "b.md").write_text("The bakery by the quay opens at noon every day.\n")
    opened = open_index(index(tmp_path / "docs", tmp_path / "i").path)
    near = [each.text for each in made_questions(opened, 200, 0.1, 0) if not each.answers]
    assert near and not any("boat" in text for text in near)
