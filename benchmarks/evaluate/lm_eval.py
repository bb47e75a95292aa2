"""Evaluation beside lm-eval's Hugging Face backend: same weights, same YAML tasks, item by item.

    python -m benchmarks.evaluate.lm_eval --peer PYTHON \
        --model runs/tiny/base --corpus runs/tiny/corpus
                                 [--dtype float32] [--samples 200] [--rounds 5] [--check] [--keep]

PYTHON is that of an environment with lm-eval (`make oracles`). Each side lives in a process of its
own that has loaded the model; what is timed is a whole task: prompts, requests, scores, and on our
side the durable log too. First every item is compared: likelihoods within 1e-4 (float32), greedy or
not, texts, chosen options. Then the peer's best batch size is searched for each task, and both
sides run in turns. `--check` stops after the comparison.

Tasks are made of the corpus' test documents:

    choice      four continuations of a passage          shots   the same after five examples
    rolling     paragraphs, each in one window           long    documents of several windows
    generate    continue a passage up to an empty line   word    the last word of a passage
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("choice", "shots", "rolling", "long", "word", "generate")
BATCHES = (1, 2, 4, 8, 16, 32, 64, "auto")
SEARCHED = 0.25
"""Share of the samples on which batch sizes are searched."""
TARGETS = {"choice": 3.0, "shots": 3.0, "rolling": 1.2, "generate": 1.1}

YAML = """task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/{data}.jsonl, train: {folder}/{data}-train.jsonl}}}}
output_type: {kind}
test_split: test
doc_to_text: "{{{{context}}}}"
{rest}
"""
CHOICE = """doc_to_choice: "{{options}}"
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
RESTS = {
    "choice": ("multiple_choice", "choice", CHOICE),
    "shots": ("multiple_choice", "choice", CHOICE + "fewshot_split: train\nnum_fewshot: 5\n"
              "fewshot_config: {sampler: first_n}\n"),
    "rolling": ("loglikelihood_rolling", "rolling", 'doc_to_target: "{{context}}"\n'
                "metric_list: [{metric: bits_per_byte}]\n"),
    "long": ("loglikelihood_rolling", "long", 'doc_to_target: "{{context}}"\n'
             "metric_list: [{metric: bits_per_byte}]\n"),
    "word": ("loglikelihood", "word", 'doc_to_target: "{{word}}"\n'
             "metric_list: [{metric: acc}, {metric: perplexity}]\n"),
    "generate": ("generate_until", "generate", 'doc_to_target: "{{word}}"\n'
                 'generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 48, do_sample: false}\n'
                 "metric_list: [{metric: exact_match}]\n"),
}  # fmt: skip


def write_tasks(corpus: Path, folder: Path, samples: int) -> None:
    """Make the tasks' data of a corpus artifact, and their YAML files."""
    from groundup.core import Artifact
    from groundup.corpus import read_split

    artifact = Artifact.open(corpus, "corpus")
    for split in ("test", "train"):
        number = samples if split == "test" else 20
        suffix = "" if split == "test" else "-train"
        texts = [document.text for document in read_split(artifact, split)][: 20 * number]
        for data, rows in rows_of(texts, number).items():
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{data}{suffix}.jsonl").write_text(lines)
    for task, (kind, data, rest) in RESTS.items():
        text = YAML.format(task=f"bench_{task}", folder=folder, data=data, kind=kind, rest=rest)
        (folder / f"{task}.yaml").write_text(text)


def rows_of(texts: list[str], number: int) -> dict[str, list[dict[str, Any]]]:
    """Passages of 60 to 240 words, options of 3 to 8; paragraphs of 10 to 150; documents."""
    passages = []
    for text in texts:
        words = text.split()
        for start in range(0, len(words) - 280, 400):
            size = 60 + (7 * len(passages)) % 180
            passages.append((words[start : start + size], words[start + size :][:18]))
    passages = [each for each in passages if "".join(each[1]).strip()]
    passages = (passages * (number // max(len(passages), 1) + 1))[:number]
    nexts = [" ".join(after[: 3 + place % 6]) for place, (_, after) in enumerate(passages)]
    found: dict[str, list[dict[str, Any]]] = {"choice": [], "word": [], "generate": []}
    for place, (before, after) in enumerate(passages):
        context = " ".join(before).strip() or "Text:"
        options = [nexts[(place + 13 * step) % len(nexts)] for step in range(4)]
        options = [option.strip() or f"option {i}" for i, option in enumerate(options)]
        answer = place % 4
        options[0], options[answer] = options[answer], options[0]
        found["choice"].append({"context": context, "options": options, "answer": answer})
        word = next(filter(None, (w.strip() for w in after)), "the")
        found["word"].append({"context": context, "word": word})
        found["generate"].append({"context": context, "word": word})
    for name, low, spread in (("rolling", 10, 140), ("long", 500, 2500)):
        sizes = [low + (137 * place) % spread for place in range(number)]
        cut = [" ".join(t.split(" ")[:size]) for t, size in zip(texts * 9, sizes, strict=False)]
        found[name] = [{"context": text} for text in cut if text.strip()]
    return found


Ask = Callable[[str, int | str, int | None], tuple[float, list[Any]]]


def ours(work: dict[str, Any]) -> Ask:
    """Our side: run a task by the harness; answers are those that its rows hold."""
    import torch

    from groundup.core import Draft
    from groundup.evaluate.harness.answer_cache import AnswerCache
    from groundup.evaluate.harness.local import open_native
    from groundup.evaluate.harness.report import samples_file
    from groundup.evaluate.harness.runner import TaskRunner
    from groundup.evaluate.task.catalogue import open_tasks

    torch.set_num_threads(work["threads"])
    model = open_native(Path(work["model"]), dtype=getattr(torch, work["dtype"]))
    names = [str(Path(work["folder"]) / f"{task}.yaml") for task in TASKS]
    tasks = dict(zip(TASKS, open_tasks(names), strict=True))

    def ask(task: str, batch: int | str, limit: int | None) -> tuple[float, list[Any]]:
        place = Path(tempfile.mkdtemp())
        draft = Draft(place, place / ".scratch", place / "log")
        started = time.perf_counter()
        with AnswerCache(place / "answers.jsonl") as own:
            TaskRunner(model, own).run(tasks[task], draft, limit)
        seconds = time.perf_counter() - started
        rows = (place / samples_file(f"bench_{task}")).read_text().splitlines()
        return seconds, [plain(json.loads(row)["answers"]) for row in rows]

    return ask


def plain(answers: list[dict[str, Any]]) -> list[Any]:
    """Our answers as the peer gives them."""
    return [[a["logprob"], a["is_greedy"]] if "logprob" in a else a["text"] for a in answers]


def peers(work: dict[str, Any]) -> Ask:
    """The peer's side: lm-eval's evaluator over its Hugging Face backend."""
    import lm_eval
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager, get_task_dict

    torch.set_num_threads(work["threads"])
    model = transformers.AutoModelForCausalLM.from_pretrained(
        work["model"], dtype=getattr(torch, work["dtype"])
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(work["model"])
    names = [f"bench_{task}" for task in TASKS]
    tasks = get_task_dict(names, TaskManager(include_path=work["folder"], include_defaults=False))

    def ask(task: str, batch: int | str, limit: int | None) -> tuple[float, list[Any]]:
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch, max_batch_size=64,
                  device="cpu")  # fmt: skip
        name, started = f"bench_{task}", time.perf_counter()
        found = lm_eval.evaluate(
            lm, {name: tasks[name]}, limit=limit, bootstrap_iters=0, log_samples=True
        )
        seconds = time.perf_counter() - started
        samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
        return seconds, [[peer_plain(one) for one in sample["resps"]] for sample in samples]

    return ask


def peer_plain(response: Any) -> Any:
    """One of the peer's answers: [logprob, is_greedy], a number or a text."""
    while isinstance(response, list) and len(response) == 1:
        response = response[0]
    return [response[0], bool(response[1])] if isinstance(response, list | tuple) else response


def worker(who: str, work: dict[str, Any]) -> None:
    """Run a task for every line on stdin; answer with the seconds and a file of the answers."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    ask = ours(work) if who == "ours" else peers(work)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        seconds, found = ask(*json.loads(line))
        place = Path(work["folder"]) / f"{who}.answers.json"
        place.write_text(json.dumps(found))
        print(json.dumps([seconds, len(found), str(place)]), file=answers, flush=True)


class Side:
    """A worker process."""

    def __init__(self, who: str, python: str, work: dict[str, Any]) -> None:
        offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
        environment = {**os.environ, **offline, "OMP_NUM_THREADS": str(work["threads"])}
        environment |= {"HF_HOME": f"{work['folder']}/home"}
        if who == "ours":
            environment |= {"PYTHONPATH": str(ROOT)}
        command = [python, "-m", "benchmarks.evaluate.lm_eval", "--worker", who, json.dumps(work)]
        self.log = open(Path(work["folder"]) / f"{who}.log", "w")  # noqa: SIM115  lives as we do
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, text=True,
        )  # fmt: skip
        self.line()

    def line(self) -> str:
        """The next line that the worker says."""
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            self.log.flush()
            raise SystemExit(Path(self.log.name).read_text()[-4000:])
        return line

    def ask(self, task: str, batch: int | str = 1, limit: int | None = None) -> list[Any]:
        """Seconds, samples and answers of one task."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([task, batch, limit]) + "\n")
        self.process.stdin.flush()
        seconds, samples, place = json.loads(self.line())
        return [seconds, samples, json.loads(Path(place).read_text())]

    def close(self) -> None:
        """End the worker."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def differences(task: str, mine: list[Any], theirs: list[Any], tolerance: float) -> Iterator[str]:
    """What differs, item by item."""
    if len(mine) != len(theirs):
        yield f"{task}: {len(mine)} items and {len(theirs)}"
    for place, (left, right) in enumerate(zip(mine, theirs, strict=False)):
        for a, b in zip(left, right, strict=True):
            if isinstance(a, str):
                if a != b:
                    yield f"{task} {place}: {a!r} and {b!r}"
                continue
            value, greedy = (b[0], b[1]) if isinstance(b, list) else (b, a[1])
            if abs(a[0] - value) > tolerance * max(1.0, abs(value) / 100) or a[1] != greedy:
                yield f"{task} {place}: {a} and {b}"
        if task in ("choice", "shots"):
            chosen = [max(range(len(s)), key=lambda i, s=s: s[i][0]) for s in (left, right)]
            if chosen[0] != chosen[1]:
                yield f"{task} {place}: options {chosen}"


def largest(mine: list[Any], theirs: list[Any]) -> float:
    """Largest difference of two log-likelihoods."""
    both = [(a, b) for left, right in zip(mine, theirs, strict=True)
            for a, b in zip(left, right, strict=True) if not isinstance(a, str)]  # fmt: skip
    return max((abs(a[0] - (b[0] if isinstance(b, list) else b)) for a, b in both), default=0.0)


def compare(mine: Side, peer: Side, args: argparse.Namespace) -> bool:
    """Compare every item of every task; whether all are equal (float32)."""
    is_equal, tolerance = True, 1e-4 if args.dtype == "float32" else 1e9
    for task in args.tasks:
        found, expected = (side.ask(task, 8)[2] for side in (mine, peer))
        faults = list(differences(task, found, expected, tolerance))
        gap = largest(found, expected)
        print(f"{task:<10} {len(found):5} items  {len(faults)} differ  largest {gap:.1e}")
        print("".join(f"    {fault[:300]}\n" for fault in faults[:5]), end="", flush=True)
        is_equal &= not faults
    return is_equal


class Race(NamedTuple):
    """What both sides did, round by round, in samples a second."""

    task: str
    batch: int | str
    """The peer's best batch size."""
    ours: list[float]
    peer: list[float]


def keep(races: list[Race], args: argparse.Namespace, version: str) -> None:
    """Write the rows to results/lm_eval.json, beside those of other tasks and dtypes there."""
    import table  # here: the peer's side of this script has no groundup

    rows = [
        table.compare(
            f"evaluation: {race.task}, {args.dtype}, peer's batch {race.batch}", "samples/s",
            race.ours, race.peer, table.Peer("lm-eval", version),
        )
        for race in races
    ]  # fmt: skip
    notes = {"model": args.model.name, "samples": args.samples, "threads": args.threads}
    here = {race.task for race in races}
    for row in json.loads((table.RESULTS / "lm_eval.json").read_text())["rows"]:
        task, dtype = row["work"].removeprefix("evaluation: ").split(", ")[:2]
        is_here = row["machine"] == table.machine_class()  # report keeps those of other machines
        if is_here and (task not in here or dtype != args.dtype):
            rows.append(table.Row(**row))
    rows.sort(key=lambda row: row.work)
    table.report("lm_eval", rows, notes)


def race(task: str, mine: Side, peer: Side, args: argparse.Namespace) -> Race:
    """Samples a second of one task, both sides in turns, the peer at its best batch size."""
    part = max(8, int(args.samples * SEARCHED))
    batches = [batch for batch in BATCHES if str(batch) in args.batches]
    searched = {batch: peer.ask(task, batch, part)[0] for batch in batches}
    best = min(searched, key=lambda batch: searched[batch])
    rates: dict[str, list[float]] = {"ours": [], "peer": []}
    mine.ask(task, limit=part)
    for _ in range(args.rounds):
        for name, side in (("ours", mine), ("peer", peer)):
            seconds, samples, _ = side.ask(task, best)
            rates[name].append(samples / seconds)
    ratios = [a / b for a, b in zip(rates["ours"], rates["peer"], strict=True)]
    found = Race(task, best, rates["ours"], rates["peer"])
    wanted = f"  wanted {TARGETS[task]}" if task in TARGETS else ""
    low, middle, high = min(ratios), median(ratios), max(ratios)
    print(
        f"{task:<10} ours {median(found.ours):8.1f}/s  peer {median(found.peer):8.1f}/s at batch "
        f"{best}  {middle:.2f}x [{low:.2f}, {high:.2f}]{wanted}", flush=True,
    )  # fmt: skip
    return found


def missing(args: argparse.Namespace) -> str:
    """What is not there and how to get it; empty if nothing is missing."""
    for place in (args.model, args.corpus):
        if not place.is_dir():
            return f"{place} is not there; `make demo` makes it, or give --model and --corpus."
    if not shutil.which(args.peer):
        return f"no Python with lm-eval at {args.peer}; `make oracles` makes one, or give --peer."
    return ""


def main() -> None:
    """Compare, then race."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=Path("runs/tiny/base"))
    parser.add_argument("--corpus", type=Path, default=Path("runs/tiny/corpus"))
    parser.add_argument("--peer", default=".oracles/lm-eval/bin/python")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS))
    parser.add_argument("--batches", type=lambda text: text.split(","),
                        default=[str(batch) for batch in BATCHES])  # fmt: skip
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--keep", action="store_true", help="write results/lm_eval.json")
    parser.add_argument("--worker", nargs=2)
    args = parser.parse_args()
    if args.worker:
        return worker(args.worker[0], json.loads(args.worker[1]))
    if lacks := missing(args):
        sys.exit(f"lm_eval.py: {lacks}")
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(args.corpus, Path(folder), args.samples)
        work = {"model": str(args.model.resolve()), "folder": folder, "dtype": args.dtype,
                "threads": args.threads}  # fmt: skip
        print(f"{args.model}, {args.dtype}, {args.threads} threads, {args.samples} samples a task")
        mine, peer = Side("ours", sys.executable, work), Side("peer", args.peer, work)
        is_equal = compare(mine, peer, args)
        found = [] if args.check else [race(task, mine, peer, args) for task in args.tasks]
        mine.close()
        peer.close()
    if args.keep:
        command = [args.peer, "-c", "import lm_eval; print(lm_eval.__version__)"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        keep(found, args, version)
    sys.exit(0 if is_equal else 1)


if __name__ == "__main__":
    main()
