import pytest

from groundup.corpus.questions.checks import rejection_reason

ASKED = "What does `copy` do?"


@pytest.mark.parametrize(
    "answer, why",
    [
        ("Copies a folder with its files", ""),
        ("True", ""),
        ("'\\n'", ""),
        ("", "no words"),
        ("word " * 26, "too long"),
        ("Does what is described above", "points elsewhere"),
        ("Copies these files", "points elsewhere"),
        ("See Section 4 on files", "points elsewhere"),
        ("It copies a folder", "begins with a pronoun"),
        ("otherwise nothing happens", "begins with a pronoun"),
        ("Copies a folder (with files", "cut off"),
        ("Copies a folder to the", "cut off"),
        ("Copies |a| folder", "markup"),
        ("Copies a folder. Then it stops", "markup"),
    ],
)
def test_unfit_answers_are_told_why(answer, why):
    assert rejection_reason(ASKED, answer) == why


def test_a_question_must_not_hold_its_answer():
    assert rejection_reason("Which port is 8080?", "8080") == "given away"
    assert rejection_reason("What does `clear` clear?", "the cache of the files") == ""
    assert rejection_reason("What is `sync.Semaphore`?", "A Semaphore object") == "given away"
    assert (
        rejection_reason("What happens if the log file is full?", "the log file is full")
        == "given away"
    )


def test_a_question_that_leans_on_the_text_is_unfit_but_a_title_may_say_anything():
    assert (
        rejection_reason("What happens if the file above is missing?", "nothing")
        == "points elsewhere"
    )
    assert rejection_reason("In “How to see the tables here”, what is `x`?", "a small table") == ""
