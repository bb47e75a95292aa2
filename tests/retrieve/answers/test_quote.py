"""The sentence that says it is quoted, with what it needs to be understood."""

import pytest

from groundup.core import Hit
from groundup.documents import ReadConfig, read_bytes, read_data, split_sentences
from groundup.retrieve import chunk_document
from groundup.retrieve.answers.quote import (
    PassageText,
    _extend_quote,
    _label_score,
    _same_paragraph,
    best_span,
)
from groundup.retrieve.wording.question import WeightedQuestion, _asks, parse_question


def wanted(question: str) -> WeightedQuestion:
    asked = parse_question(question)
    return WeightedQuestion(asked, [1.0] * len(asked.terms))


def quoted(text: str, question: str, path: str = "a.md") -> tuple[str, float]:
    document = read_bytes(text.encode(), path)
    (passage,) = chunk_document(document)
    span = best_span(PassageText(Hit(passage, 1.0), document), wanted(question))
    return passage.text[span.start : span.end], span.score


KETTLE = """# Kettle

A kettle boils water. It has a lid.

Clean it every week.

To descale it, fill it with vinegar and heat the vinegar for an hour:

    kettle --descale
"""


def test_the_sentence_that_covers_the_question_is_quoted():
    assert quoted(KETTLE, "How often should I clean it?")[0] == "Clean it every week."


def test_what_follows_a_colon_belongs_to_the_quote():
    text, score = quoted(KETTLE, "How do I descale the kettle?")
    assert text.endswith("for an hour:\n\n    kettle --descale") and score == 1.0


def test_a_quote_reaches_to_the_last_sentence_with_a_word_of_the_question():
    text = "To change the port, stop the server.\n\nOther words stand here.\n\nThe port is then 80."
    assert quoted(f"{text}\n\nNothing more.", "How do I change the port?")[0] == text


def test_a_sentence_that_leans_on_the_one_before_brings_it():
    assert quoted(KETTLE, "Which has a lid?")[0] == "A kettle boils water. It has a lid."


def test_titles_and_the_rest_of_the_passage_count_less_than_the_sentence():
    assert quoted(KETTLE, "water")[1] == 1.0
    assert quoted("# Kettle parts\n\nUse it.", "kettle")[1] == pytest.approx(0.8 * 0.94)
    assert quoted("# Kettle\n\nUse it.", "kettle")[1] == 1.0  # the title is the question
    far = "Some kettle.\n\n" + "Other words stand here for a while.\n\n" * 9 + "A spoon, at last."
    assert quoted(far, "spoon kettle")[1] == pytest.approx(0.75 * 0.85)


def test_what_is_nowhere_covers_nothing():
    assert quoted(KETTLE, "submarine water")[1] == pytest.approx(0.5 * 0.85)


def test_a_title_alone_is_no_quote():
    assert quoted(KETTLE, "kettle")[0].startswith("A kettle boils water.")


def taken_apart(text: str, path: str = "a.txt") -> PassageText:
    document = read_bytes(text.encode(), path)
    (passage,) = chunk_document(document)
    return PassageText(Hit(passage, 1.0), document)


def test_a_definition_and_a_signature_name_what_is_asked():
    text = "The lid of a kettle is hot, or so they say.\n\nA kettle is a pot to boil water in."
    assert quoted(text, "What is a kettle?")[0].startswith("A kettle is a pot")
    signature = taken_apart("os.walk(top, topdown=True)")
    assert _label_score(signature, 0, wanted("What does os.walk do?")) == 1.0
    sentence = taken_apart("Some sentence about os.walk here.")
    assert _label_score(sentence, 0, wanted("What does os.walk do?")) == 0.0


def test_a_function_is_quoted_with_its_signature():
    source = 'def fill(pot):\n    """Fill the pot with water."""\n    return pot\n'
    document = read_bytes(source.encode(), "tea.py")
    hits = [Hit(passage, 1.0) for passage in chunk_document(document)]
    asked = wanted("What does tea.fill do?")
    spans = [best_span(PassageText(hit, document), asked) for hit in hits]
    best = max(spans, key=lambda span: span.rank)
    assert "Fill the pot with water" in best.hit.passage.text[best.start : best.end]


def test_titles_alone_are_a_quote_of_the_last_one():
    text = "# Tea\n\n## Brewing\n"
    assert {unit.kind for unit in split_sentences(text)} == {"heading"}
    start, end = _extend_quote(taken_apart(text, "a.md"), 0, 0, 2)
    assert text[start:end] == "## Brewing"


def test_a_paragraph_ends_at_an_empty_line():
    text = "One stands here. Two stands beside it.\n\nThree stands alone."
    assert [_same_paragraph(taken_apart(text), at) for at in (0, 1)] == [True, False]


def test_a_row_is_quoted_alone_with_its_head():
    rows = "code\tname\tnumeric\n" + "".join(f"X{n}\tScript {n}\t{n}\n" for n in range(100, 130))
    data = (rows + "Cher\tCherokee\t445\nCirt\tCirth\t291\n").encode()
    (document,) = read_data("a.tsv", data, ReadConfig())
    passage = next(p for p in chunk_document(document) if "Cherokee" in p.text)
    span = best_span(PassageText(Hit(passage, 1.0), document), wanted("numeric code of Cherokee"))
    assert passage.text[span.start : span.end] == "Cher\tCherokee\t445"
    assert document.text[slice(*span.head)] == "code\tname\tnumeric" and span.score > 0.9


def test_comments_of_settings_are_no_titles():
    text = "# lock: Defaults to true\nusers:\n  - lock: false\n"
    for kind, has_title in (("a.yaml", False), ("a.md", True)):
        (document,) = read_data(kind, text.encode(), ReadConfig())
        (passage,) = chunk_document(document)
        kinds = {unit.kind for unit in PassageText(Hit(passage, 1.0), document).units}
        assert ("heading" in kinds) is has_title


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("How long does the kettle boil?", "The kettle boils for 5 minutes.", "The kettle boils."),
        ("How long does the kettle boil?", "The kettle boils for an hour.", "2 kettles boil."),
        ("How long may a line be?", "Lines are of 120 characters.", "A line of the code."),
        ("How large is the kettle?", "The kettle takes 500 bytes.", "The kettle of 2020."),
        ("How many kettles boil?", "Fifty-nine kettles boil.", "The kettles boil."),
    ],
)
def test_a_quantity_that_is_asked_for_must_be_there(question, answer, other):
    assert quoted(answer, question)[1] > 0.95 and quoted(other, question)[1] <= 0.7


def test_measures_are_patterns_with_a_penalty():
    kinds = dict.fromkeys(name for name, _ in _asks())
    assert list(kinds) == [
        "age",
        "duration or length",
        "speed",
        "weight",
        "price",
        "extent",
        "height",
        "temperature",
        "loudness",
        "strength",
        "colour",
        "size",
        "day",
        "year",
        "count",
        "material",
        "purpose",
        "name",
        "content",
        "person",
        "name of a person",
        "number",
        "date",
        "time",
        "place",
    ]
    assert parse_question("How long is it?").measure.name == "duration or length"
    assert not parse_question("How long is it?").measure.is_in("a long time", "english")
    assert parse_question("How many are there?").measure.is_in("two", "english")


def test_the_first_cell_of_a_row_says_what_it_is_of():
    page = (
        "<h1>Errors of Calc</h1><table><tr><th><p>Code</p></th><th><p>Meaning</p></th></tr>"
        f"<tr><td><p>511</p></td><td><p>A text of 512 signs. {'It is long. ' * 40}</p></td></tr>"
        "<tr><td><p>512</p></td><td><p>Formula overflow</p></td></tr></table>"
    )
    (document,) = read_data("a.html", page.encode(), ReadConfig())
    text = PassageText(Hit(chunk_document(document)[0], 1.0), document)
    scores = [_label_score(text, at, wanted("error code 512")) for at in range(len(text.units))]
    assert scores[-1] == max(scores) > 2 * scores[-2] and text.texts[-1].startswith("512")


def test_options_and_values_are_names():
    terms = parse_question("What replaces -x, with LEVEL=4 and 3 files?").terms
    assert [term.text for term in terms if term.is_name] == ["-x", "LEVEL", "4"]


def test_an_option_without_a_text_beside_it_begins_an_entry():
    options = "  -q, --quiet\n\n  Prints less.\n\n  -n NUM\n\n  Sets the number.\n"
    text = "These are its options, all of them.\n\n" + options
    passage = taken_apart(text, "a.md")
    entries = dict(zip(passage.texts, passage._entries, strict=True))
    assert entries["Prints less."] == ("-q, --quiet",)
    assert entries["Sets the number."] == ("-n ",)


def test_a_list_below_its_lead_is_quoted_to_its_end():
    items = ["a torch with two spare batteries in a bag", "a rope of thirty metres",
             "a whistle, a mirror and a candle"]  # fmt: skip
    lead = "The rescue kit hangs behind the door of the kitchen, and besides the first aid box of "
    text = f"{lead}the hut it has these three things in it, all of them new:\n\n"
    text += "".join(f"- {item}\n" for item in items)
    found, _ = quoted(text, "What is in the rescue kit?")
    assert len(found) > 240 and all(item in found for item in items)
