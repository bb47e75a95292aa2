"""The survey of threads: rulings by shard that do not depend on how records are spread."""

import pytest

pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as parquet

from groundup.corpus.engine.rulings import read_rulings
from groundup.corpus.threads import Threads, ThreadsConfig
from groundup.documents import Record, SourceMap, to_batch


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
        files = Threads(ThreadsConfig()).rulings(shards, each, scratch)
        assert len(files) == len(shards)
        seen.append({key: one for file in files for key, one in read_rulings(file).items()})
    assert seen[0] == seen[1]
    facts = [seen[0][record.id].metadata for record in records]
    assert [one["thread_position"] for one in facts] == [0, 1, 2] * 3
    assert len({one["thread"] for one in facts}) == 3 and facts[1]["thread_by"] == "header"
