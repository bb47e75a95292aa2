"""Pages of every style become the same shape."""

from dataclasses import replace

from groundup.corpus.questions.entries import page_entries, page_title
from groundup.documents import read_bytes

from .pages import DIRECTIVES, SETTINGS, SPHINX


def entries(text, path):
    document = read_bytes(text.encode(), path)
    return document, {entry.name: entry for entry in page_entries(document)}


def test_a_rendered_page_has_its_functions_with_what_is_written_under_them():
    _, found = entries(SPHINX, "copy.html")
    assert set(found) == {"", "copy.copy_tree"}  # what explains nothing is no entry
    tree = found["copy.copy_tree"]
    assert tree.kind == "function" and tree.section.text == "Whole trees" and tree.is_complete
    assert [paragraph.text[:6] for paragraph in tree.body] == [
        "Copy a", "Return", "If src", "Added ", "Change",
    ]  # fmt: skip


def test_a_markdown_reference_has_settings_items_and_rows():
    document, found = entries(SETTINGS, "settings.md")
    kinds = {name: entry.kind for name, entry in found.items() if name}
    assert kinds == {
        "cache_size": "setting", "log_level": "setting", "--dry-run": "option",
        "retry_limit": "setting",
    }  # fmt: skip
    row = found["retry_limit"].body[0]
    assert row.text == "Limits how often a request is repeated."
    assert document.text[slice(*row.span(0, len(row.text)))] == row.text


def test_directives_nest_by_indentation_and_end_with_it():
    _, found = entries(DIRECTIVES, "heap.rst")
    assert {"heap.push", "heap.Heap", "heap.Heap.pop"} <= set(found)
    assert found["heap.Heap"].kind == "class" and found["heap.push"].kind == "function"
    assert len(found["heap.Heap.pop"].body) == 1  # the last paragraph is not about pop


def test_options_of_manuals_keep_their_text():
    text = "-q::\n--quiet::\n\tSay nothing at all.\n\n--depth=<n>::\n\tStop after <n> levels.\n"
    _, found = entries(text, "tool-options.txt")
    assert [found[name].body[0].text for name in ("--quiet", "--depth")] == [
        "Say nothing at all.", "Stop after <n> levels.",
    ]  # fmt: skip


def test_what_follows_a_class_s_last_method_may_be_about_the_class():
    page = (
        "<title>m — M</title><p>class m.C(a)</p><p>A class.</p><p>read()</p><p>Read it all.</p>"
        "<p>close()</p><p>Close it.</p><p>Added in version 2.0.</p>"
    )
    _, found = entries(page, "m.html")
    assert (found["m.C"].is_complete, found["read"].is_complete, found["close"].is_complete) == (
        True,
        True,
        False,
    )


def test_titles_come_from_the_page():
    assert page_title(read_bytes(DIRECTIVES.encode(), "heap.rst")) == "heap --- Heaps"
    assert page_title(read_bytes(b"No title here.", "a.txt")) == ""
    assert page_title(read_bytes(SETTINGS.encode(), "a.md")) == "Settings"


def test_a_term_with_a_tag_inside_is_no_name_and_a_rubric_is_none():
    page = (
        "<title>m</title><dl><dt><strong>y</strong><span>ndarray</span></dt><dd><p>A copy of "
        "it all.</p></dd><dt>coords</dt><dd><p>A tuple of places.</p></dd><dt>Notes</dt><dd><p>A "
        "side effect is this.</p></dd></dl>"
    )
    _, found = entries(page, "m.html")
    assert set(found) - {""} == {"coords"}


def test_pages_of_a_prepared_corpus_are_read_whatever_their_kind():
    document = replace(read_bytes(DIRECTIVES.encode(), "heap.rst"), kind="rst")
    assert "heap.push" in {entry.name for entry in page_entries(document)}
    text = "Notes\n\nA paragraph of a page.\n"
    (only,) = page_entries(replace(read_bytes(text.encode(), "a.txt"), kind="pdf"))
    assert [paragraph.text for paragraph in only.body] == ["A paragraph of a page."]
