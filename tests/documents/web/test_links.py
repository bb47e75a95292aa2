"""Lines of links: cut at the ends, kept where the text speaks of them."""

from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Edit
from groundup.documents.web.links import (
    END,
    MARKED,
    SIGNS,
    START,
    link_lines,
    linked_share,
    mark_links,
)

TEXT = "Words of the page that are not links and go on for a while."


def cut(*lines: str) -> str:
    text, edits = link_lines("\n".join(lines), 0.7)
    pieces, at = [], 0
    for edit in edits:
        pieces.append(text[at : edit.start])
        at = edit.end
    return "".join([*pieces, text[at:]]).strip()


def link(text: str) -> str:
    return START + text + END


def test_lines_of_links_go_at_the_ends():
    assert cut(link("Home"), f"{link('A')} | {link('B')}", TEXT, link("Next chapter")) == TEXT


def test_a_list_inside_stays_but_a_pager_goes():
    inside = cut(TEXT, link("See also this"), link("And that"), TEXT)
    assert "See also this" in inside and START not in inside
    assert "Next" not in cut(TEXT, f"{link('Previous')} | {link('Next')}", TEXT)


def test_marks_are_put_around_links_alone():
    marked = mark_links('<a name="x">anchor</a><a href="y">link</a>')
    assert f'<a href="y">{START}link' in marked and f"{START}anchor" not in marked


@given(st.lists(st.sampled_from(["a", START, END, "\n", "word ", "|"]), max_size=60))
def test_no_mark_is_left_and_edits_rise(pieces):
    text, edits = link_lines("".join(pieces), 0.7)
    assert START not in text and END not in text
    end = 0
    for edit in edits:
        assert isinstance(edit, Edit) and end <= edit.start < edit.end <= len(text)
        end = edit.end


@given(st.lists(st.sampled_from(["a", "_", START, END, " ", "word ", "é", "·"]), max_size=30))
def test_the_share_of_links_is_that_of_letters_and_digits(pieces):
    raw = "".join(pieces)
    clean = raw.replace(START, "").replace(END, "")
    linked = sum(len(SIGNS.sub("", text)) for text in MARKED.findall(raw))
    signs = len(SIGNS.sub("", clean))
    assert linked_share(raw, clean) == (linked / signs if signs else 1.0)
