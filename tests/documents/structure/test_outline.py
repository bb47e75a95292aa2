"""Headings are ranges of the text, and lookalikes are not headings."""

from hypothesis import given
from hypothesis import strategies as st

from groundup.documents.structure.outline import markdown_headings, python_headings


def titles(find, text: str) -> list[tuple[int, str]]:
    return [(h.level, text[h.start : h.end]) for h in find(text)]


def test_markdown_headings_of_both_kinds():
    text = (
        "# One #\r\ntext\r\n\r\nTwo\r\n===\r\nThree words\n---\n###### Six\n#hashtag\n    # code\n"
        "- item\n---\n\n---\n##\n## C#\n"
    )
    assert titles(markdown_headings, text) == [
        (1, "One"), (1, "Two"), (2, "Three words"), (6, "Six"), (2, "C#"),
    ]  # fmt: skip


def test_fenced_code_has_no_headings():
    text = "~~~\n# a\n```\n# b\n~~~\n# c\n````python\n# d\n```\n# e\n````\n# f\n```\n# g"
    assert titles(markdown_headings, text) == [(1, "c"), (1, "f")]


def test_python_names_are_nested_as_in_the_code():
    text = '''"""Brew tea.

More."""
import x

text = """
def not_this(): ...
"""

@decorated(
    1
)
class Pot:
    async def fill(self):
        def inner(): ...
    if x:
        def empty(self): ...

try:
    pass
except ValueError:
    def late(): ...
'''
    assert titles(python_headings, text) == [
        (1, "Brew tea."), (2, "Pot"), (3, "fill"), (4, "inner"), (3, "empty"), (2, "late"),
    ]  # fmt: skip


def test_python_with_a_syntax_error_is_read_by_lines():
    text = "class A:\n    def b(self):\n        print 'x'\n    def c(self): ...\ndef d(: ...\n"
    assert titles(python_headings, text) == [(2, "A"), (3, "b"), (3, "c"), (2, "d")]


def test_hostile_python_is_survived():
    for text in (
        "(" * 100_000,
        "-" * 100_000 + "1",
        "x" + ".y" * 50_000,
        "'\\d'",
        "\f\ndef a(): ...",
    ):
        python_headings(text)
    assert titles(python_headings, "é = 1; \r\ndef ü(): ...\r\n") == [(2, "ü")]


@given(st.text(st.sampled_from("#-=`~ \t\n\rab"), max_size=40))
def test_headings_are_in_order_trimmed_and_inside(text):
    found = markdown_headings(text)
    for heading in found:
        title = text[heading.start : heading.end]
        assert title and title == title.strip() and "\n" not in title
        assert 1 <= heading.level <= 6
    assert [h.start for h in found] == sorted({h.start for h in found})
