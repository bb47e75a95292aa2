# ruff: noqa: E501 — samples stand as they are read
"""Lines that come back on a site are cut at the ends of pages and in menus, however shards lie."""

import pytest

pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as parquet

from groundup.corpus.engine.shards import read_step_results
from groundup.corpus.engine.specs import GlobalStep
from groundup.corpus.quality import sites
from groundup.corpus.quality.sites import SiteLines, SiteLinesConfig
from groundup.documents import Record, SourceMap, TextSpan, apply_result, to_batch


def each(task, items):
    return [task(item) for item in items]


def page(number: int, text: str, host: str = "a.org") -> Record:
    return Record(
        f"{number:032x}", "web", f"{host}/{number}.html", "html", text, SourceMap.identity(text),
        (), {"host": host},
    )  # fmt: skip


def pages(count: int, host: str = "a.org", first: int = 0) -> list[Record]:
    return [
        page(n, f"Site of things\nThe {chr(97 + n % 26) * 5} page\nParameters:\nWhat {chr(97 + n % 26) * 9} "
                f"does in this unlike sentence {n * n}x{chr(97 + n % 26)}.\nMade in {2000 + n}", host)
        for n in range(first, first + count)
    ]  # fmt: skip


def judged(tmp_path, records, sizes, **settings):
    shards, at = [], 0
    tmp_path.mkdir(exist_ok=True)
    for number, size in enumerate(sizes):
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(pa.Table.from_batches([to_batch(records[at : at + size])]), path)
        shards.append(path)
        at += size
    survey = SiteLines(SiteLinesConfig(**settings))
    assert isinstance(survey, GlobalStep)
    files = survey.decide(shards, each, tmp_path / "scratch")
    assert len(files) == len(shards)
    return {key: ruling for file in files for key, ruling in read_step_results(file).items()}


def test_headers_and_footers_go_and_headings_in_the_middle_stay(tmp_path):
    records = pages(10)
    found = judged(tmp_path, records, [10])
    text = apply_result(records[3], found[records[3].id]).text
    assert "Parameters:" in text and "does in this unlike" in text
    assert "Site of things" not in text and "Made in" not in text
    assert {edit.reason for edit in found[records[3].id].edits} == {"header", "footer"}


def story(number: int, head: str, foot: str = "", **settings) -> Record:
    """A page whose head and foot have its number, around a text of its own."""
    words = " ".join(chr(97 + (number * place) % 26) * 7 for place in range(1, 30))
    return page(number, f"Home\nAbout us\n{head}\n{words}.\n{foot}Mill Press")


def left(tmp_path, records) -> str:
    found = judged(tmp_path, records, [len(records)])
    return apply_result(records[7], found[records[7].id]).text


def test_a_numbered_title_is_the_page_s_own(tmp_path):
    texts = [story(n, f"Story number {n}", f"Page {n} of 40\n") for n in range(1, 41)]
    after = left(tmp_path, texts)
    assert after.startswith("Story number 8\n")
    assert "Home" not in after and "Page 8" not in after and "Mill Press" not in after


def test_page_counts_dates_and_counters_go(tmp_path):
    for place, head in enumerate(("Page {} of 90", "March {}, 20{}", "Posted: {}", "Views {}",
                                  "{} comments", "12 May 20{}", "Seite {}", "Copyright 20{}")):  # fmt: skip
        records = [story(n, head.format(n, n)) for n in range(10, 50)]
        assert head.format(17, 17) not in left(tmp_path / str(place), records), head


def test_headings_and_titles_that_differ_stay_and_those_that_do_not_go(tmp_path):
    records = []
    for n in range(10, 50):
        one = story(n, f"Views: {n}\nThe Mill 2\nPart: {n}")
        at = one.text.index("Views")
        end = one.text.index("\n", one.text.index("Part"))
        mill = one.text.index("The Mill")
        spans = (TextSpan("heading", at, mill - 1), TextSpan("heading", mill, mill + 10))
        titled = one.metadata | {"title": f"Part: {n} - The Mill 2"}
        assert one.text[end - 2 : end] == str(n)
        records.append(Record(one.id, "web", one.path, "html", one.text, one.map, spans, titled))
    after = left(tmp_path, records)
    assert after.startswith("Views: 17\nPart: 17\n") and "The Mill" not in after


def test_shards_do_not_matter(tmp_path):
    records = pages(12) + pages(12, "b.org", 100)
    whole = judged(tmp_path / "one", records, [24])
    parts = judged(tmp_path / "many", records, [5, 0, 7, 12], max_entries=3, parts=3)
    assert whole == parts and len(whole) == 24


@pytest.mark.parametrize(("run", "is_cut"), [(3, True), (4, False)])
def test_a_menu_is_so_many_lines_that_come_back(tmp_path, run, is_cut):
    records = [
        page(n, f"The {chr(97 + n) * 9} story\nFirst {chr(98 + n) * 5}\nBooks to buy\nOur shops\nAll news\n"
                f"Then {n * n}y came {chr(97 + n) * 7}\nand went {n * 7}z")
        for n in range(12)
    ]  # fmt: skip
    found = judged(tmp_path, records, [12], min_menu_lines=run)
    cut = (
        records[3].id in found
        and "Our shops" not in apply_result(records[3], found[records[3].id]).text
    )
    assert cut == is_cut


def test_small_sites_and_copies_are_left_alone(tmp_path):
    assert judged(tmp_path / "few", pages(4), [4]) == {}
    same = [page(n, "All of it\nis the same\neverywhere here") for n in range(9)]
    assert judged(tmp_path / "same", same, [9]) == {}


def test_nothing_at_all(tmp_path):
    assert judged(tmp_path, [page(1, "")], [1]) == {}


def test_four_times_the_pages_are_four_times_the_tasks_and_no_task_is_larger(tmp_path, monkeypatch):
    """Counts are put together by as many tasks as they need, each over a range of keys."""
    tasks: dict[int, list[int]] = {}
    for count in (40, 160):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        records = [page(n, "\n".join(f"Line {n}-{m} x" for m in range(50))) for n in range(count)]
        found = tasks.setdefault(count, [])
        read = sites.read_range

        def counted(part, found=found, read=read):
            rows = read(part)
            found.append(len(rows)) if "lines" in str(part.out) else None
            return rows

        with monkeypatch.context() as patched:
            patched.setattr(sites, "read_range", counted)
            judged(folder, records, [10] * (count // 10), max_entries=500)
    few, more = tasks.values()
    assert 3 * len(few) <= len(more) <= 5 * len(few), (len(few), len(more))
    assert max(more) <= 1.5 * max(few), "a task holds its share"
