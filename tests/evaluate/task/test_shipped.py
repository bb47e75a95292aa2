"""lm-eval's own task files, read where its package lies, beside its record of running them.

The files are not copied here, so this runs where `make oracles` was run, or LM_EVAL_TASKS names the
folder of tasks. What is always compared is in test_lm_eval.py.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evaluate.task.lm_eval_peer import FIXTURE, differences, expected
from tests.oracles.lm_eval_shipped import write_rows

ROOT = Path(__file__).resolve().parents[3]
RECORD = expected(FIXTURE / "shipped.json.xz")


def folders() -> Iterator[Path]:
    if named := os.environ.get("LM_EVAL_TASKS"):
        yield Path(named)
    yield from ROOT.glob(".oracles/lm-eval/lib/python3*/site-packages/lm_eval/tasks")


TASKS = next((path for path in folders() if path.is_dir()), None)


@pytest.mark.slow
@pytest.mark.skipif(TASKS is None, reason="lm-eval's task files are not here: make oracles")
def test_every_item_of_lm_evals_own_files_is_equal(tmp_path: Path):
    assert TASKS is not None
    rows = write_rows(tmp_path)
    wrong = [line for record in RECORD for line in differences(record, TASKS, rows)]
    assert wrong == []


def test_the_record_is_of_many_public_tasks():
    names = {name for record in RECORD for name in record["samples"]}
    assert len(names) >= 60 and {"hellaswag", "gsm8k", "wikitext", "mmlu_anatomy"} <= names
