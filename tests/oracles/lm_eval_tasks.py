"""What lm-eval makes of task files: every request, example, filtered answer and number.

    make oracles                        (or `make -C tests/oracles lm_eval_tasks.py`)

Reads   tests/fixtures/lm_eval/tasks, data          task files of every kind, and their rows
Writes  tests/fixtures/lm_eval/expected.json.xz     ours must be equal to it, item by item

The model is a fake: its likelihoods come from a hash of what it is asked, its texts from a list.
Names of data sets on a hub are read from the folder `data`, so nothing is fetched. With
`--shipped FILE` lm-eval's own task files are run on rows of the same shape instead (SHIPPED), for
tests/evaluate/task/test_lm_eval.py; such files are not copied here.
"""

import hashlib
import json
import logging
import lzma
import os
import sys
from pathlib import Path

os.environ["HF_DATASETS_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import numpy as np
from lm_eval.api.model import LM
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

HERE = Path(__file__).resolve().parents[1] / "fixtures" / "lm_eval"
LOCAL = ("json", "csv", "text", "parquet")

CHAT = {"apply_chat_template": True}
CASES = [
    {"tasks": ["planets"]},
    {"tasks": ["planets"], "num_fewshot": 3},
    {"tasks": ["planets"], "num_fewshot": 2, "fewshot_random_seed": 7, "limit": 4},
    {"tasks": ["planets"], "num_fewshot": 2, **CHAT, "fewshot_as_multiturn": True},
    {"tasks": ["planets"], "num_fewshot": 2, **CHAT, "fewshot_as_multiturn": False,
     "system_instruction": "Be brief."},
    {"tasks": ["planets_information"]},
    {"tasks": ["planets_information"], **CHAT, "fewshot_as_multiturn": False},
    {"tasks": ["planets_information"], "system_instruction": "You know the sky."},
    {"tasks": ["endings"], "num_fewshot": 1},
    {"tasks": ["blanks"]},
    {"tasks": ["blanks"], "num_fewshot": 1},
    {"tasks": ["blanks_template"], "num_fewshot": 1},
    {"tasks": ["blanks_template"], "num_fewshot": 1, **CHAT, "fewshot_as_multiturn": False},
    {"tasks": ["goals"], "num_fewshot": 2},
    {"tasks": ["passages"], "num_fewshot": 2},
    {"tasks": ["stories"]},
    {"tasks": ["stories"], "num_fewshot": 1, **CHAT, "fewshot_as_multiturn": True},
    {"tasks": ["pages"]},
    {"tasks": ["lines"]},
    {"tasks": ["sums"]},
    {"tasks": ["sums"], "num_fewshot": 3, **CHAT, "fewshot_as_multiturn": True},
    {"tasks": ["sums_voted"], "num_fewshot": 0},
    {"tasks": ["trivia"]},
    {"tasks": ["trivia"], "num_fewshot": 2},
    {"tasks": ["subjects"], "num_fewshot": 2},
    {"tasks": ["subjects_nature_tasks"]},
    {"tasks": ["bag"]},
    {"tasks": ["moods_thought"]},
    {"tasks": ["moods_mapped"]},
    {"tasks": ["moods_mapped"], **CHAT, "fewshot_as_multiturn": True},
    {"tasks": ["truths"], "num_fewshot": 4},
    {"tasks": ["programs"]},
    {"tasks": ["programs"], **CHAT, "fewshot_as_multiturn": True},
    {"tasks": ["products"]},
    {"tasks": ["spans"]},
    {"tasks": ["translations"]},
    {"tasks": ["letters"]},
    {"tasks": ["mixed"]},
    {"tasks": ["squares"]},
]  # fmt: skip

TEXTS = {
    "sums": [" She has 7.\n#### 7", "It is 1,250 km", "#### 3\nso $3.00 it is", "four and a half"],
    "sums_voted": [
        "The answer is 4", "The answer is 1,250.", "I would say 9", "The answer is 4", "7 or 8",
        "The answer is -3", "No idea", "The answer is 4.5 or 5",
    ],
    "trivia": [" the Bards", "Lyon", " LEONARDO ", "Pacific ocean", " paris!", "Monet"],
    "moods_thought": [
        "It is nice. So the answer is good.", "the answer is bad", "none", "the answer is good..\n",
    ],
    "moods_mapped": [" Happy ", "sad\t", "none", "what"],
    "programs": ["    return 2 * x", "    pass", "    x / 2\n    return x", "    return 0"],
    "spans": [" sleep", "by day", "", "at night"],
    "translations": [
        " This is a little test, isn't it?", "He said nothing.", "We go home", "", "Good evening!",
    ],
    "letters": ["(C) an apple", "The answer is DOG!", "I think: C", "none of these", "a (A) (B)"],
    "mixed": ["1", "2.5", "3.0", "4", "one"],
    "squares": ["1", " 4", "9", "sixteen", "25"],
}  # fmt: skip


class Fake(LM):
    """A model whose answers depend on nothing but the question."""

    tokenizer_name = "fake"

    def __init__(self, texts):
        super().__init__()
        self.texts, self.asked = texts, []

    def loglikelihood(self, requests):
        return [likelihood(*each.args) for each in requests]

    def loglikelihood_rolling(self, requests):
        return [likelihood("", each.args[0])[0] for each in requests]

    def generate_until(self, requests):
        found = []
        for number, each in enumerate(requests):
            texts = self.texts.get(each.task_name, ["yes", " no", "A", "42"])
            found.append(texts[number % len(texts)])
        return found

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        text = "".join(f"<{m['role']}>{m['content']}</{m['role']}>" for m in chat_history)
        if add_generation_prompt:
            return text + "<assistant>"
        return text.removesuffix("</assistant>")

    def chat_template(self, chat_template=False):
        return "fake"


def likelihood(context, continuation):
    """A log-likelihood, and whether it is greedy, that look random and are not."""
    found = hashlib.sha256(f"c:{context}\0{continuation}".encode()).digest()
    return -(int.from_bytes(found[:4], "big") / 2**27 + len(continuation) / 7), found[4] < 100


def plain(value):
    """Numbers as JSON has them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def local_datasets(folder):
    """Let load_dataset read names of the hub from a folder."""
    original = datasets.load_dataset

    def load(path, name=None, **options):
        if path in LOCAL:
            named = options.get("data_files")
            for split, file in named.items() if isinstance(named, dict) else ():
                if "://" in file:  # a file of the hub lies in the folder by its last name
                    named[split] = str(folder / file.rpartition("/")[2])
            return original(path, name, **options)
        place = folder / path / name if name else folder / path
        files = {file.stem: str(file) for file in sorted(place.glob("*.jsonl"))}
        assert files, f"no rows for {path} {name} in {place}"
        return original("json", data_files=files)

    datasets.load_dataset = load


def run(case, manager, texts):
    """One evaluation: what was asked, what was answered, what it scores."""
    given = {"fewshot_random_seed": 1234, "fewshot_as_multiturn": False} | case
    found = simple_evaluate(
        model=Fake(texts), task_manager=manager, bootstrap_iters=0, log_samples=True,
        verbosity="ERROR", **given,
    )  # fmt: skip
    samples = {
        task: [
            {
                "doc_id": row["doc_id"],
                "filter": row["filter"],
                "arguments": plain(row["arguments"]),
                "resps": plain(row["resps"]),
                "filtered": plain(row["filtered_resps"]),
                "values": {name: plain(row[name]) for name in row["metrics"]},
            }
            for row in rows
        ]
        for task, rows in found["samples"].items()
    }
    shown = ("alias", "name", "sample_len", "sample_count")
    results = {
        name: {key: value for key, value in plain(row).items()
               if key not in shown and "_stderr" not in key}
        for name, row in found["results"].items()
    }  # fmt: skip
    better = found["higher_is_better"]
    return {"case": case, "samples": samples, "results": results, "better": better}


def main():
    """Run every case and write what came of it."""
    logging.disable(logging.WARNING)
    if "--shipped" in sys.argv:
        import lm_eval_shipped

        cases, texts, out = lm_eval_shipped.CASES, lm_eval_shipped.TEXTS, Path(sys.argv[-1])
        local_datasets(lm_eval_shipped.write_rows(out.with_suffix("")))
        manager = TaskManager()
    else:
        os.chdir(HERE / "tasks")
        local_datasets(HERE / "data")
        cases, texts, out = CASES, TEXTS, HERE / "expected.json.xz"
        manager = TaskManager(include_path=str(HERE / "tasks"), include_defaults=False)
    found = [run(case, manager, texts) for case in cases]
    text = json.dumps(found, ensure_ascii=False, sort_keys=True)
    out.write_bytes(lzma.compress(text.encode(), preset=9))
    print(
        f"{len(found)} cases, {len(text)} characters, {out.stat().st_size} bytes", file=sys.stderr
    )


if __name__ == "__main__":
    main()
