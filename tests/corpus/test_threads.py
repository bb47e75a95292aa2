"""Threads by headers; results by shard that do not depend on how records are spread."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as parquet

from groundup.core import ConfigError
from groundup.corpus import threads as module
from groundup.corpus.engine.shards import read_step_results
from groundup.corpus.threads import (
    JoinThreads,
    JoinThreadsConfig,
    ThreadMessage,
    ThreadPositions,
    ThreadsConfig,
    build_threads,
    extract_message,
)
from groundup.documents import (
    Record,
    SourceMap,
    StepResult,
    TextSpan,
    apply_result,
    from_batch,
    to_batch,
)


def mail(number: int) -> Record:
    text = f"Message number {number}.\n"
    known = {
        "message_id": f"<{number}@x>",
        "subject": "Re: Tea",
        "date": f"2002-08-{number + 1:02d}",
    }
    known |= {"in_reply_to": f"<{number - 1}@x>"} if number % 3 else {"subject": f"Tea {number}"}
    return Record(
        f"{number:032x}", "s", f"{number}", "mail", text, SourceMap.identity(text), metadata=known
    )


def each(task, items):
    return [task(item) for item in items]


def test_threads_across_shards(tmp_path):
    records = [mail(number) for number in range(9)]
    seen = []
    for name, groups in (("one", [records]), ("two", [records[::2], records[1::2]])):
        shards = []
        for number, group in enumerate(groups):
            shards.append(tmp_path / f"{name}-{number}.parquet")
            parquet.write_table(pa.Table.from_batches([to_batch(group)]), shards[-1])
        scratch = tmp_path / name
        scratch.mkdir()
        files = ThreadPositions(ThreadsConfig()).decide(shards, each, scratch)
        assert len(files) == len(shards)
        seen.append({key: one for file in files for key, one in read_step_results(file).items()})
    assert seen[0] == seen[1]
    facts = [seen[0][record.id].metadata for record in records]
    assert [one["thread_position"] for one in facts] == [0, 1, 2] * 3
    assert len({one["thread"] for one in facts}) == 3 and facts[1]["thread_by"] == "header"


def survey_all(config: JoinThreadsConfig, groups, folder):
    """The records of all shards after the survey's rulings, and the rulings."""
    folder.mkdir()
    shards = []
    for number, group in enumerate(groups):
        shards.append(folder / f"{number}.parquet")
        parquet.write_table(pa.Table.from_batches([to_batch(group)]), shards[-1])
    files = JoinThreads(config).decide(shards, each, folder)
    rulings = {key: one for file in files for key, one in read_step_results(file).items()}
    left = [
        apply_result(record, rulings.get(record.id, StepResult()))
        for group in groups
        for record in group
        if not rulings.get(record.id, StepResult()).reason
    ]
    return sorted(left, key=lambda one: one.id), rulings


def test_a_thread_becomes_one_record_wherever_its_messages_stand(tmp_path):
    records = [mail(number) for number in range(9)]
    one, rulings = survey_all(JoinThreadsConfig(), [records], tmp_path / "one")
    two, _ = survey_all(JoinThreadsConfig(), [records[1::2], records[::-2]], tmp_path / "two")
    assert one == two and [record.id for record in one] == [r.id for r in records[::3]]
    first = one[0]
    assert first.text == "Message number 0.\n\n\nMessage number 1.\n\n\nMessage number 2.\n"
    turns = [first.text[span.start : span.end] for span in first.spans if span.kind == "turn"]
    assert turns == [record.text for record in records[:3]]
    assert [part["path"] for part in first.metadata["messages"]] == ["0", "1", "2"]
    assert first.map.byte_range(0, 7) == (0, 7)
    at = first.text.index("number 1")
    assert first.map.byte_range(at, at + 8) == (18, 18)  # another record's: the end of this one
    assert rulings[records[2].id].reason == "joined to its thread"
    assert rulings[records[2].id].details.endswith(records[0].id)
    assert from_batch_again(first) == first


def from_batch_again(record: Record) -> Record:
    return next(from_batch(to_batch([record])))


def test_single_and_too_long_threads_stay(tmp_path):
    records = [mail(number) for number in range(4)]
    left, rulings = survey_all(JoinThreadsConfig(max_characters=30), [records], tmp_path / "a")
    assert left == records and not rulings
    left, rulings = survey_all(JoinThreadsConfig(), [records[:1], []], tmp_path / "b")
    assert left == records[:1] and not rulings


def test_turns_and_other_places_of_messages_stay(tmp_path):
    records = [mail(0), mail(1)]
    spans = (TextSpan("turn", 0, 7, "Bo"), TextSpan("heading", 8, 14, "1"))
    records[1] = replace(records[1], spans=spans, metadata=records[1].metadata | {"from": "Cy"})
    left, _ = survey_all(JoinThreadsConfig(), [records], tmp_path / "a")
    found = [(s.kind, left[0].text[s.start : s.end], s.value) for s in left[0].spans]
    assert found == [
        ("turn", "Message number 0.\n", ""), ("turn", "Message", "Bo"), ("heading", "number", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize("shards", [5, 17, 70])
def test_many_shards_give_the_threads_of_one(tmp_path, monkeypatch, shards):
    monkeypatch.setattr(module, "MAX_OPEN_FILES", 4)
    records = [mail(number) for number in range(28)]
    one, _ = survey_all(JoinThreadsConfig(), [records], tmp_path / "one")
    spread = [records[at::shards] for at in range(shards)]
    many, _ = survey_all(JoinThreadsConfig(), spread, tmp_path / "many")
    assert many == one


def test_four_times_the_shards_are_little_more_than_four_times_the_opens(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_OPEN_FILES", 4)
    files = []
    opened = module._open_replies
    monkeypatch.setattr(module, "_open_replies", lambda path: files.append(path) or opened(path))
    counts = []
    for shards in (4, 16, 64):
        records = [mail(number) for number in range(2 * shards)]
        files.clear()
        survey_all(
            JoinThreadsConfig(),
            [records[at::shards] for at in range(shards)],
            tmp_path / f"{shards}",
        )
        counts.append(len(files))
    assert counts[1] <= 6 * counts[0] and counts[2] <= 6 * counts[1], counts


def test_a_reply_dated_before_its_thread_loses_no_text(tmp_path):
    records = [mail(0), mail(1)]
    records[1].metadata["date"] = "2001-01-01"
    left, rulings = survey_all(JoinThreadsConfig(), [records[:1], records[1:]], tmp_path / "a")
    assert [record.text for record in left] == ["Message number 1.\n\n\nMessage number 0.\n"]
    assert rulings[records[0].id].details.endswith(records[1].id)


def test_quotes_and_subjects_no_longer_link():
    with pytest.raises(ConfigError, match="headers"):
        ThreadsConfig(headers=False)


def message(name: str, day: int, **headers: str) -> ThreadMessage:
    metadata = {"Message-ID": f"<{name}@x>", "Date": f"{day:02d} Aug 2002 10:00:00 +0000"}
    text = "x"
    about = metadata | headers
    return extract_message(
        Record(name, "s", name, "mail", text, SourceMap.identity(text), metadata=about)
    )


def test_headers_tell_the_nearest_known_message():
    first, second = message("a", 1), message("b", 2, **{"In-Reply-To": "Yours of Monday <a@x>"})
    third = message("c", 3, References="<a@x> <b@x> <lost@x>")
    found = build_threads([first, second, third, message("d", 4)])
    assert {name: one.thread for name, one in found.items()} == dict(a="a", b="a", c="a", d="d")
    assert found["c"] == ("a", "b", 2, 3) and found["d"] == ("d", "", 0, 1)


def test_a_loop_of_references_is_opened():
    one, two = message("a", 1, References="<b@x>"), message("b", 2, References="<a@x>")
    found = build_threads([one, two, message("c", 3, References="<b@x>")])
    assert {place.thread for place in found.values()} == {"a"}
    assert [found[name].parent for name in "abc"] == ["", "a", "b"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=10), st.integers(0, 99))
def test_the_order_of_messages_does_not_matter(rows, seed):
    messages = [
        ThreadMessage(f"r{n}", n + 1, (parent + 1,), float(time))
        for n, (parent, time) in enumerate(rows)
    ]
    found = build_threads(messages)
    assert found == build_threads(random.Random(seed).sample(messages, len(messages)))
    for thread in {one.thread for one in found.values()}:
        members = [one for one in found.values() if one.thread == thread]
        assert sorted(one.position for one in members) == list(range(len(members)))
        assert sum(not one.parent for one in members) == 1 and found[thread].position == 0


def test_what_a_reader_of_mails_gives_is_enough():
    about = {"format": "mail", "date": "2002-08-02T10:00:00+01:00"}
    first = Record("a", "s", "a", "conversation", "One.", SourceMap.identity("One."))
    first = replace(first, metadata=about | {"message_id": "1@x"})
    reply = replace(first, id="b", metadata=about | {"message_id": "2@x", "in_reply_to": "1@x"})
    assert build_threads([extract_message(first), extract_message(reply)])["b"].parent == "a"
