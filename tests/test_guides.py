"""The lines of the guides' blocks run as they are printed, in order, on a small handbook.

Each page begins with what the pages before it make: artifacts of the README's journey, under the
names that guides give them. Settings that make a line small are appended, as for the README.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from groundup.cli import main
from groundup.core import record
from tests.checking import unchecked
from tests.handbook import THINGS, write_handbook
from tests.test_readme import EXTRA, QUICK, longest, qwen, run_block

__all__ = ["run_block"]

BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "reference/align",
    "guide/command-line",
    "reference/compress",
    "reference/core",
    "reference/corpus/engine",
    "reference/corpus/explain",
    "reference/corpus/folder",
    "reference/corpus/mixture",
    "reference/embeddings",
    "reference/evaluate",
    "reference/generate",
    "reference/model/gguf",
    "reference/measure",
    "reference/model",
    "reference/model/import",
    "reference/recipes",
    "reference/tokenizer",
    "reference/train",
    "reference/train/optimizers",
)
NOT_HERE = {
    "groundup examples show": "examples of names, of which this handbook has none",
    "groundup prepare pipeline.toml --out corpus --runner ray": "a cluster",
    "groundup prepare benchmarks/corpus/permissive.toml": "Debian's packages",
    "groundup tokenizer runs/permissive-corpus": "made of them",
    "groundup tokens runs/permissive-corpus": "made of them",
    "groundup pretrain --config benchmarks/recipes/house.toml": "made of them",
    "groundup finetune --model gemma": "published weights",
    "groundup import ~/gemma": "published weights",
    "groundup import gemma": "published weights",
    "groundup evaluate hf:": "Transformers and published weights",
    "groundup evaluate http": "a server",
    "groundup preferences judge": "a server; tests/align/feedback/test_voting.py",
    "groundup preferences apply n": "rewards that differ",
    "groundup preferences revise": "a model that heeds a critique; test_revise.py there",
    "groundup tasks overlap": "a downloaded data set",
    "groundup testset review runs/questions --sample 50 --page": "a browser; test_server.py",
    "groundup run examples": "downloaded texts; test_examples.py, slow",
    "groundup generate runs/translate": "what an example makes",
    "groundup run tiny": "minutes; test_tiny.py, slow",
    "groundup run abstain": "minutes; test_abstain.py, slow",
    "groundup run align": "minutes; tuning/test_recipes.py, slow",
    "groundup run harmless": "toxic texts; tuning/test_harmless.py does it in small",
    "groundup reinforce --model tuned --tasks tasks.jsonl --queue": "people; feedback/test_live.py",
    "groundup preferences review queue --who": "people; the same",
    "groundup run reason": "minutes; tuning/test_recipes.py does it in small",
    "groundup export tuned --gguf": "a width of whole blocks of 32; gguf.md runs",
}
"""Lines by their beginnings, and what they need."""
SHORT = (
    f"{QUICK} --set tokens=2048 --set batch_tokens=1024 --set length=64 --set context_length=1024"
)
SMALL = EXTRA | {
    "groundup pretrain": f"--set depth=1 --set width=64 {SHORT}",
    "groundup pretrain --tokens runs/ids": f"--set depth=1 --set width=64 {SHORT}",
    "groundup pretrain --tokens runs/ids --tokenizer runs/words --out runs/bert": SHORT,
    "groundup pretrain --base": SHORT,
    "groundup vectors train": "--set word2vec.width=16 --set word2vec.epochs=1",
    "groundup vectors train --corpus runs/corpus --out runs/glove": "--set glove.epochs=1",
    "groundup corpus ~/handbook --out runs/corpus --set test_share": "--set min_chars=20",
    "groundup tokens mix": "--set tokens=20000",
    "groundup generate": "",
    "groundup direct": "--set batch_answers=4 --set epochs=0.2",
    "groundup preferences sample": "--set answers=2 --set max_tokens=8",
    "groundup abstain make": "--set form=answer",  # so small a model knows nothing
    "groundup reinforce": "--set steps=2 --set prompts=2 --set answers=2 --set max_tokens=4",
}
ROWS = {
    "asked.jsonl": [{"question": f"where is {n}?", "answers": ["here"]} for n in range(30)],
    "held-out.jsonl": [{"question": f"is it {n}?", "answers": ["yes"]} for n in range(10)],
    "chats.jsonl": [{"prompt": f"question {n}?", "completion": f"answer {n}"} for n in range(30)],
    "steps.jsonl": [
        {"prompt": f"sum {n}", "completions": ["one", "two"], "labels": [True, False]}
        for n in range(30)
    ],
    "pairs.jsonl": [{"prompt": f"say {n}", "chosen": "yes", "rejected": "no"} for n in range(30)],
    "prompts.jsonl": [{"prompt": f"say {n}", "answer": "yes"} for n in range(30)],
    "sums.jsonl": [{"prompt": f"{n} + 1?", "answer": str(n + 1)} for n in range(30)],
}
"""What a reader would have of his own to tune on."""
TYPED = {
    "groundup chat": "How do I restart?\n", "groundup testset review": "a\n" * 60,
    "groundup preferences review": "1\n" * 30,
}  # fmt: skip
NAMES = {
    "corpus": ("corpus", "runs/tiny/corpus", "runs/corpus"),
    "tokenizer": ("tokenizer", "runs/tiny/tokenizer", "runs/tokenizer"),
    "tokens": ("tokens", "tokens-web", "tokens-books", "runs/tiny/tokens", "runs/tokens"),
    "base": ("base", "gemma", "runs/base", "runs/mine", "runs/tiny/base"),
    "examples": ("examples", "runs/tiny/examples"),
    "tuned": ("tuned", "runs/tuned", "runs/chat", "runs/tiny/chat", "runs/tiny/tuned"),
    "t": ("t", "runs/questions"),
    "report": ("report", "runs/tuned-report"),
    "report-against": ("baseline-report", "report-against", "runs/base-report"),
    "report-verdict": ("verdict", "report-verdict", "runs/tiny/verdict"),
    "i": ("i", "index", "runs/tiny/index"),
}
"""What the journey made, and the names under which guides speak of it."""

BEFORE = {
    "reference/corpus/explain": ("groundup prepare pipeline.toml --out corpus",
                       "groundup prepare ~/handbook --out other"),
}  # fmt: skip
"""What a page speaks of and another page makes in its own way."""
PIPELINE = """[[sources]]
name = "handbook"
path = "HOME/handbook"
licence = "CC0-1.0"

[[sources]]
name = "others"
path = "HOME/others"
licence = "GPL-2.0-only"

[[steps]]
use = "documents.read"
"""


def lines_of(page: str) -> list[str]:
    """The page's commands of groundup, lines that go on put together, pipes left out."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    found = [
        line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line.partition(" > ")[0] for line in found if line.startswith("groundup ")]


def ran(line: str) -> None:
    with pytest.raises(SystemExit) as ended, unchecked():
        main(line.split())
    assert ended.value.code in (0, 3, 4, None), line


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A home in whose folder `work` the journey was made."""
    home = tmp_path_factory.mktemp("home")
    write_handbook(home / "handbook")
    (home / "work").mkdir()
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("GROUNDUP_COMPILE", "0")
        patch.chdir(home / "work")
        tiny = f"--set depth=1 --set width=64 {SHORT}"
        for line in (
            f"corpus {home}/handbook --out corpus",
            "tokenizer --corpus corpus --out tokenizer --set vocab_size=400",
            "tokens --corpus corpus --tokenizer tokenizer --out tokens",
            f"pretrain --tokens tokens --tokenizer tokenizer --out base {tiny}",
            "examples make --corpus corpus --out examples",
            "finetune --model base --examples examples --out tuned --set epochs=0.02",
            f"testset make {home}/handbook --questions 60 --out t",
            "evaluate tuned --test t --tasks arithmetic --chat-template --against base "
            "--out report --limit 8",
            "gate report",
            f"index {home}/handbook --out i",
        ):
            ran(line)
        record.set_output_mode("silent")
    assert Path.cwd() == before
    return home


@pytest.fixture
def work(made, tmp_path, monkeypatch) -> Path:
    """A folder with all of it, and the files that a reader would have of his own."""
    home = tmp_path / "home"
    shutil.copytree(made / "handbook", home / "handbook")
    place = home / "work"
    for name, others in NAMES.items():
        for other in others:
            shutil.copytree(made / "work" / name, place / other)
    for name in ("SmolLM2-135M", "Qwen3-0.6B"):
        qwen(home / name)
    (home / "others").mkdir()
    (home / "others" / "kettle.md").write_text("# Kettles\n\nTo descale the kettle, use vinegar.\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    monkeypatch.chdir(place)
    things = " ".join(f"the king and the woman see the {thing} by the river." for thing in THINGS)
    Path("book.txt").write_text(f"{things} the man pays the bank.\n" * 20, encoding="utf-8")
    Path("wordsim353.tsv").write_text("king\twoman\t7.5\nriver\tking\t1.0\nman\tking\t6.0\n")
    Path("simlex999.txt").write_text("king\twoman\t7.5\nriver\tking\t1.0\nman\tking\t6.0\n")
    Path("questions-words.txt").write_text(": people\nman king woman river\nking man river woman\n")
    Path("schema.json").write_text('{"type": "object", "properties": {"name": {"enum": ["a"]}}}')
    align = (ROOT / "docs/reference/align.md").read_text(encoding="utf-8")
    Path("mine.py").write_text(re.findall(r"(?s)```python\n(.*?)```", align)[0])
    Path("sum.lark").write_text('start: NUMBER "+" NUMBER\nNUMBER: /[0-9]{1,2}/\n')
    Path("pipeline.toml").write_text(PIPELINE.replace("HOME", str(home)), encoding="utf-8")
    for name, rows in ROWS.items():
        Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    Path("my-tasks").mkdir()
    return place


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES)
def test_a_guide_s_lines_run_as_printed_and_in_order(page, work, run_block):
    lines = [line for line in lines_of(page) if not longest(NOT_HERE, line, "")]
    assert lines
    for line in [*BEFORE.get(page, ()), *lines]:
        out = re.search(r"--out (\S+)", line)
        if out and Path(out[1]).is_dir():
            shutil.rmtree(out[1])  # a reader has only what the page has made so far
            shutil.rmtree(f"{out[1]}-against", ignore_errors=True)
        if line.startswith("groundup release tuned"):  # no tiny model's gate passes
            shutil.rmtree("verdict", ignore_errors=True)
            run_block(["groundup gate report --require exact_match<1 --out verdict"])
        run_block([line], SMALL, TYPED)
