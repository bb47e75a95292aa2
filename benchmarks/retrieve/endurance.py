"""An index that is killed while it is written, and one that many ask while it is written.

    python -m benchmarks.retrieve.endurance kills FOLDER [--store URL] [--kills 20]
    python -m benchmarks.retrieve.endurance readers FOLDER [--store URL] [--seconds 300]

Both work on a copy of FOLDER with GATES more documents, each of which says the number of the
folder's state, and an index whose vectors are in files, or in the database that --store names. The
encoder is --encoder, else one layer of random weights, for the index is what is tried.

kills    Indexes state after state; `groundup index` is killed with -9 at random moments of all
         phases. After each kill a question must get the answer of a complete state. At the end the
         index is compared with one made without kills, with vectors in files.
readers  One process changes documents and indexes; READERS threads in PROCESSES processes open the
         index and ask, one question of three in other words. An answer fails that is an error,
         lacks a quote or notes that it did not look by meaning; it is inconsistent if its quote
         is not what the writer wrote in the state that it has by the snapshot that it names. That a
         snapshot was removed while it was asked, which the answer says, is counted for itself.

Results: results/endurance.json. Exits 1 if an answer failed or the index differs.
"""

import argparse
import datetime
import json
import multiprocessing
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from benchmarks.table import RESULTS, machine_class
from groundup.core import MANIFEST, Artifact, GroundupError, Pointer, write_json
from groundup.retrieve import IndexConfig, answer_question, index, open_index
from groundup.retrieve.encoders.vectors import open_vectors
from groundup.retrieve.models import TextEncoderConfig
from tests.retrieve.encoders.small import write_base

ROOT = Path(__file__).resolve().parents[2]
GATES, PROCESSES, READERS = 20, 4, 20
PHASES = ("start", "documents and words", "encoding", "vectors", "pointer", "pruning and end")
POLL_SECONDS = 0.002
AGAIN = "open the index again"
"""In the line on a snapshot that was removed while it was asked: two updates took less time."""


def write_state(folder: Path, state: int) -> None:
    """Let all gates tell a state, and a tenth of the other documents, drawn by it."""
    others = sorted(path for path in folder.rglob("*.md") if not path.name.startswith("gate-"))
    for path in random.Random(state).sample(others, max(1, len(others) // 10)):
        text = path.read_text(encoding="utf-8").partition("\n\nChanged in state ")[0]
        path.write_text(f"{text}\n\nChanged in state {state} of the folder.\n", encoding="utf-8")
    for gate in range(GATES):
        (folder / f"gate-{gate}.md").write_text(text_of(gate, str(state)), encoding="utf-8")


def text_of(gate: int, state: str) -> str:
    """What a document says in a state."""
    return f"# Gate {gate}\n\nThe gate {gate} opens at level {state}. It is made of oak.\n"


def ask_gate(out: Path, chance: random.Random) -> tuple[str, str, str]:
    """Open an index and ask of a gate: the snapshot's id, the state in its quote, a problem."""
    gate = chance.randrange(GATES)
    try:
        opened = open_index(out)
        if chance.random() < 1 / 3:
            answer = answer_question(opened, "Which timber was the doorway carpentered from?")
            if "meaning" not in answer.details:
                return opened.artifact.id, "", str(answer.details.get("note", "no place"))
            return opened.artifact.id, "", ""
        answer = answer_question(opened, f"At which level does the gate {gate} open?")
    except GroundupError as error:
        return "", "", f"{type(error).__name__}: {error}"
    if answer.refused:
        return opened.artifact.id, "", "refused"
    quote = answer.claims[0].quotes[0]
    state = quote.text.partition("level ")[2].partition(".")[0]
    if quote.path != f"gate-{gate}.md" or quote.text not in text_of(gate, state):
        return opened.artifact.id, "", f"{quote.location} has not: {quote.text}"
    return answer.details["index"], state, ""


# ---- kills ----


def phase_of(out: Path, before: str | None) -> str:
    """Which phase a run is in, by the files that it has written."""
    if Pointer(out / "ledger/current.jsonl").value != before:
        return PHASES[5]
    drafts = [path.parent for path in (out / "snapshots").glob("*/.scratch")]
    if not drafts:
        newest = {path.parent.name for path in (out / "snapshots").glob(f"*/{MANIFEST}")}
        return PHASES[4] if len(newest) > 2 or before is None and newest else PHASES[0]
    if (drafts[0] / MANIFEST).is_file():
        return PHASES[4]
    if (drafts[0] / "vectors.json").is_file():
        return PHASES[3]
    return PHASES[2] if (drafts[0] / "files.json").is_file() else PHASES[1]


class KilledIndex:
    """A folder that changes, and its index, which is killed."""

    def __init__(self, folder: Path, out: Path, words: list[str]) -> None:
        self.folder, self.out, self.state = folder, out, 0
        command = [sys.executable, "-m", "groundup", "index", str(folder), "--out", str(out)]
        self.command, self.log = [*command, *words], out.with_suffix(".log")

    def run(self, aim: str = "", wait: float = 0.0) -> tuple[str, dict[str, float]]:
        """Run the command; killed a while after a phase began. The last phase, "" if it ended."""
        before = Pointer(self.out / "ledger/current.jsonl").value
        began, since, phase = dict[str, float](), 0.0, PHASES[0]
        with open(self.log, "ab") as log:
            process = subprocess.Popen(self.command, cwd=ROOT, stdout=log, stderr=log)
        while process.poll() is None:
            phase, now = phase_of(self.out, before), time.monotonic()
            began.setdefault(phase, now)
            if aim and not since and PHASES.index(phase) >= PHASES.index(aim):
                since = now
            if since and now - since >= wait:
                process.kill()
                break
            time.sleep(POLL_SECONDS)
        code, ended = process.wait(), time.monotonic()
        if code not in (0, -9):
            last = self.log.read_text(errors="replace").splitlines()[-3:]
            raise SystemExit(f"{' '.join(self.command)} ended with code {code}: {last}")
        ends = [*list(began.values())[1:], ended]
        lasts = {name: end - at for (name, at), end in zip(began.items(), ends, strict=True)}
        return (phase if code else ""), lasts

    def change(self) -> None:
        """The folder's next state."""
        self.state += 1
        write_state(self.folder, self.state)


def kills(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Kill, ask and compare; the figures."""
    killed = KilledIndex(work / "docs", work / "killed", flags(arguments))
    killed.run()
    killed.change()
    lasts, chance, fallen, wrong = killed.run()[1], random.Random(0), list[str](), list[str]()
    killed.change()
    while len(fallen) < arguments.kills:
        aim = PHASES[len(fallen) % len(PHASES)]
        phase, _ = killed.run(aim, chance.uniform(0.0, lasts.get(aim, 0.1)))
        if not phase:
            killed.change()
            continue
        fallen.append(phase)
        _, state, problem = ask_gate(killed.out, chance)
        if problem or state and int(state) not in (killed.state - 1, killed.state):
            wrong.append(f"{phase}: {problem or state}")
        print(f"kill {len(fallen)} in: {phase}; {wrong[-1:]}", file=sys.stderr, flush=True)
        if phase == PHASES[5]:
            killed.change()
    killed.run()
    whole = index(killed.folder, work / "whole", config_of(arguments, store=""))
    name = Pointer(killed.out / "ledger/current.jsonl").value
    made = Artifact.open(killed.out / "snapshots" / str(name), kind="index")
    phases = {phase: fallen.count(phase) for phase in PHASES}
    return {"kills by phase": phases, "wrong after a kill": wrong, **compare(made, whole)}


def compare(made: Artifact, whole: Artifact) -> dict[str, Any]:
    """What of an index is not as in one made without kills: files by hash, vectors by cosine."""
    skipped = ("vectors.npy", "vectors.json", "vectors.int8.npy")  # with numbers, or the store
    names = sorted((made.files.keys() | whole.files.keys()) - {*skipped})
    differing = [name for name in names if made.files.get(name) != whole.files.get(name)]
    ours, theirs = open_vectors(made.path), open_vectors(whole.path)
    assert ours is not None and theirs is not None
    if ours.runs != theirs.runs:
        differing.append("runs")
    pairs = [(vector, theirs.by_text()[key]) for key, vector in ours.by_text().items()]
    cosines = [float(a.astype(np.float32) @ b.astype(np.float32)) for a, b in pairs]
    return {
        "files compared": len(names), "differing": differing, "vectors": len(pairs),
        "vectors of the same bits": sum(bool((a == b).all()) for a, b in pairs),
        "least cosine": round(min(cosines), 5),
    }  # fmt: skip


# ---- readers ----


def write_on(folder: Path, out: Path, config: IndexConfig, stop: Any, states: Any) -> None:
    """Change the folder and index it until told to stop; which state has which snapshot."""
    state = 1
    while not stop.is_set():
        state += 1
        write_state(folder, state)
        states[index(folder, out, config).id] = str(state)


def read_on(out: Path, number: int, stop: Any, answers: Any) -> None:
    """Ask in threads until told to stop; put each answer's snapshot, state, problem, seconds."""

    def ask_on(seed: int) -> None:
        chance = random.Random(seed)
        while not stop.is_set():
            started = time.monotonic()
            answers.put((*ask_gate(out, chance), time.monotonic() - started))

    with ThreadPoolExecutor(READERS // PROCESSES) as threads:
        list(threads.map(ask_on, range(number * 100, number * 100 + READERS // PROCESSES)))


def readers(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One writer and many readers for a while; the figures."""
    folder, out, config = work / "docs", work / "index", config_of(arguments)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        stop, states, answers = manager.Event(), manager.dict(), manager.Queue()
        write_state(folder, 1)
        states[index(folder, out, config).id] = "1"
        processes = [context.Process(target=write_on, args=(folder, out, config, stop, states))]
        processes += [
            context.Process(target=read_on, args=(out, number, stop, answers))
            for number in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        time.sleep(arguments.seconds)
        stop.set()
        for process in processes:
            process.join()
        found = [answers.get() for _ in range(answers.qsize())]
        known = dict(states)
    problems = Counter(problem for _, _, problem, _ in found if problem)
    late = {problem: problems.pop(problem) for problem in list(problems) if AGAIN in problem}
    other = [(id, state) for id, state, _, _ in found if state and known.get(id) != state]
    seconds = [taken for *_, taken in found]
    return {
        "seconds": arguments.seconds, "readers": READERS, "snapshots written": len(known) - 1,
        "answers": len(found),
        "by meaning": sum(not (state or problem) for _, state, problem, _ in found),
        "snapshots asked": len({id for id, *_ in found}), "failed": dict(problems),
        "removed by two updates while asked": sum(late.values()),
        "of another state": other, "seconds of an answer, median": round(median(seconds), 3),
        "99 of 100 within": round(quantiles(seconds, n=100)[98], 3),
        "processes that failed": sum(process.exitcode != 0 for process in processes),
    }  # fmt: skip


def config_of(arguments: argparse.Namespace, store: str | None = None) -> IndexConfig:
    """The configuration of an index; other vectors than in the files if a store is named."""
    store = arguments.store if store is None else store
    settings = {"path": str(arguments.encoder), "store": store}
    return IndexConfig(encoder=TextEncoderConfig(exact_below=arguments.exact_below, **settings))


def flags(arguments: argparse.Namespace) -> list[str]:
    """The same as flags of the command line."""
    words = ["--encoder", str(arguments.encoder)]
    words += ["--set", f"encoder.exact_below={arguments.exact_below}"]
    return [*words, "--set", f"encoder.store={arguments.store}"] if arguments.store else words


def main() -> None:
    """Run one of both, and keep its figures beside the others'."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["kills", "readers"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--store", default="", help="URL of a database with pgvector")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument(
        "--exact-below", type=int, default=1_000, help="texts that are all compared"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        work = Path(folder)
        arguments.encoder = arguments.encoder or write_base(work / "encoder")
        shutil.copytree(arguments.folder, work / "docs")
        write_state(work / "docs", 0)
        figures = (kills if arguments.part == "kills" else readers)(arguments, work)
    figures |= {"machine": machine_class(), "date": datetime.date.today().isoformat()}
    name = f"{arguments.part}, {'pgvector' if arguments.store else 'files'}"
    kept = RESULTS / "endurance.json"
    notes = json.loads(kept.read_bytes())["notes"] if kept.is_file() else {}
    write_json(kept, {"rows": [], "notes": notes | {name: figures}})
    print(json.dumps(figures, indent=1))
    bad = ("wrong after a kill", "differing", "failed", "of another state", "processes that failed")
    sys.exit(any(figures.get(each) for each in bad))


if __name__ == "__main__":
    main()
