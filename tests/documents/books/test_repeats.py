"""Repeated passages: more than three go, the first stays."""

from groundup.documents import Record, SourceMap, Span, follow
from groundup.documents.books.repeats import Repeats, RepeatsConfig, gopher


def plain(text: str, *spans: Span) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


PASSAGE = " ".join(f"passage{n}" for n in range(60))


def book(times: int) -> str:
    between = [" ".join(f"own{part}x{n}" for n in range(80)) for part in range(times)]
    return "\n\n".join(f"{one}\n\n{PASSAGE}" for one in between)


def test_four_times_becomes_once():
    record = plain(book(4))
    after = follow(record, Repeats(RepeatsConfig())(record))
    assert after.text.count("passage0 ") == 1 and after.text.count("own3x79") == 1


def test_three_times_stays():
    assert not Repeats(RepeatsConfig())(plain(book(3))).edits


def test_a_text_that_only_repeats_itself_keeps_its_first_run():
    record = plain("one two " * 500)
    after = follow(record, Repeats(RepeatsConfig())(record))
    assert 50 <= len(after.text.split()) <= 51


def test_gophers_rules_flag_a_chapter_and_cut_only_if_asked():
    text = "The same line comes again.\n" * 40
    record = plain(text, Span("chapter", 0, len(text)))
    assert gopher(text) == "gopher: duplicate lines"
    spans = Repeats(RepeatsConfig(times=1_000))(record).spans
    assert [span.kind for span in spans] == ["repetitive"]
    assert Repeats(RepeatsConfig(are_chapters_cut=True))(record).edits[0].end == len(text)
