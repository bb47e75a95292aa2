"""Every question has one answer, which is a slice of its document and its file's bytes."""

import pytest

from groundup.corpus.questions.candidates import (
    DocumentCollection,
    _is_code_identifier,
    _unique_titles,
    question_candidates,
    rejection_reason,
)
from groundup.documents import read_bytes
from groundup.measure.card import contains_in_order

from .pages import DIRECTIVES, DJANGO, MODULE, SETTINGS, SPHINX

FILES = {"copy.html": SPHINX, "settings.md": SETTINGS, "heap.rst": DIRECTIVES, "dates.py": MODULE}


def found(files, **options):
    documents = [read_bytes(text.encode(), path) for path, text in files.items()]
    collection = DocumentCollection(documents)
    return list(
        question_candidates(
            collection, files, options.get("rules", ()), options.get("max_words", 25)
        )
    )


def test_answers_are_slices_of_text_and_bytes():
    for one in found(FILES):
        place, text = one.answer_location, FILES[one.path]
        read = read_bytes(text.encode(), one.path).text
        assert read[place["start"] : place["end"]] == place["quote"]
        data = text.encode()[place["byte_start"] : place["byte_end"]]
        assert one.path.endswith(".html") or data.decode() == place["quote"]
        start, end = place["span"]
        assert place["passage"][start:end] == place["quote"]
        assert contains_in_order(place["quote"], one.answer)


def test_a_name_that_two_documents_explain_is_asked_with_the_title():
    old = SETTINGS.replace("Settings", "Old settings").replace("is logged", "is written down")
    twice = {"a.md": SETTINGS, "b.md": old}
    asked = [one.question for one in found(twice, rules=["option"]) if "log_level" in one.question]
    assert len(asked) == 2 and all("“Settings”" in q or "“Old settings”" in q for q in asked)
    (alone,) = [
        one.question
        for one in found({"a.md": SETTINGS}, rules=["option"])
        if "log_level" in one.question
    ]
    assert "“" not in alone


def test_what_is_explained_twice_in_one_document_is_not_asked():
    page = SETTINGS + "\n### log_level\n\nSets something else entirely.\n"
    assert not [one for one in found({"a.md": page}) if "`log_level`" in one.question]


def test_a_question_with_two_answers_is_dropped():
    page = "<title>{}</title><p>m.f(a)</p><p>{}</p>"
    same = {"a.html": page.format("M", "Copy a file."), "b.html": page.format("M", "Move it all.")}
    one = [c for c in found(same) if c.rule == "purpose"]
    assert all("(a.html)" in c.question or "(b.html)" in c.question for c in one)


def test_long_answers_are_left_out():
    assert max(len(one.answer.split()) for one in found(FILES, max_words=4)) <= 4


def test_questions_are_the_same_in_every_run():
    assert found(FILES) == found(dict(reversed(FILES.items())))


def test_titles_lose_the_site_s_name_and_are_never_the_same():
    pages = {f"{name}.html": f"<title>{name} — Tool 1.0 docs</title><p>Text.</p>" for name in "abc"}
    pages["d.html"] = "<title>a — Tool 1.0 docs</title><p>Text.</p>"
    pages["e.txt"] = "No title."
    read = [read_bytes(text.encode(), path) for path, text in pages.items()]
    assert _unique_titles(read) == {
        "a.html": "a (a.html)", "b.html": "b", "c.html": "c", "d.html": "a (d.html)",
        "e.txt": "e.txt",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["os.stat", "max_size", "PATH", "--quiet", "JSONDecoder", "getName"]
)
def test_code_is_told_from_words(name):
    assert _is_code_identifier(name) and not any(
        map(_is_code_identifier, ("name", "Name", "two words", "a"))
    )


def test_a_page_of_django_gives_what_it_says_and_nothing_of_its_examples():
    asked = {one.question: one.answer for one in found({"forms.html": DJANGO})}
    assert asked == {
        "What is `Form.as_div` for?": "Renders the form as a division",
        "In which version was `Form.as_div` added?": "4.1",
        "What does `Form.render` do?": "Renders the form",
        "What is `Form.desc` for?": "Sorts the form backwards",
        "What is the default value of the parameter `nulls` of `Form.desc`?": "False",
        "What is `DATA_LIMIT`?": "The largest number of fields that a request may have",
        "Which value does `DATA_LIMIT` have by default?": "5000",
        "In “Forms”, what is a fixture?": "a collection of files that hold rows of a table",
        "According to “Forms”, what is squashing?": "the act of reducing many forms to a few",
        "According to “Forms”, what is MemoryStorage?": "a convenient way to keep files away",
    }


def test_listings_indexes_and_searches_are_not_asked():
    page = "<title>{0}</title><h1>Source code</h1><p>m.copy_all(a, b=1)</p><p>Copy a file.</p>"
    paths = ("_modules/m.html", "genindex.html", "genindex-A.html", "py-modindex.html",
             "search.html", "_static/x.html")  # fmt: skip
    assert found({path: page.format(path) for path in paths}) == []
    assert found({"research.html": page.format("m")})


def test_one_condition_with_two_answers_is_not_asked_and_the_same_one_is_asked_once():
    page = (
        "<title>m</title><p>m.read_all(a)</p><p>Read it. If message is set, no error is kept. "
        "When message is set, the lock may be free.</p>"
    )
    assert not [one for one in found({"m.html": page}) if one.rule == "condition"]
    tips = "# {0}\n\nTo control the size of a part, use the sizing tag.\n"
    twice = {"a.md": tips.format("One"), "b.md": tips.format("Two")}
    assert len(found(twice, rules=["how"])) == 1


def test_a_passage_begins_before_the_answer_and_shows_the_entry_of_a_heading():
    text = "# Speed\n\nMuch is said here. To run a tool faster, use the cache of pages.\n\nEnd.\n"
    (one,) = found({"a.md": text}, rules=["how"])
    assert one.answer_location["passage"] == text.removeprefix("# ")
    (one,) = [c for c in found({"copy.html": SPHINX}, rules=["section"])]
    assert one.answer_location["passage"].startswith("Whole trees\n\ncopy.copy_tree(src")


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
