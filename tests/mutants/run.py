"""Mutation testing: apply small faults to copies of the tree, and say which ones no test sees.

    python tests/mutants/run.py                   all rooms
    python tests/mutants/run.py --room core       one room; several times for several
    python tests/mutants/run.py --only ID         one mutant, its tests' output shown
    python tests/mutants/run.py --list            how many mutants each room has

The list lies beside this file, one TOML file a room: a mutant is a file, a fragment that occurs in
it once, what stands there instead, and the tests that should fail. A fragment that is gone is named
and the run fails: a stale mutant tests nothing. A result is kept until its file, its tests or the
mutant itself change; `--fresh` forgets them all.

Each mutant runs in a fork of one parent that has imported torch and pytest, in a tree of hard links
below the temporary folder; the working tree is never written. Before a room's mutants its tests run
unchanged: one that fails then is named and left out, and their time sets the limit beyond which a
mutant counts as hanging, which kills it. Exit codes: 0 done, 1 a test fails unchanged or a mutant
is stale, 2 wrong use.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LISTS = Path(__file__).resolve().parent
RESULTS = ROOT / ".pytest_cache" / "mutants.json"

# Imported once by the parent. Nothing of groundup: that is what differs between mutants.
PRELOADED = (
    "pytest", "numpy", "torch", "hypothesis", "beartype", "jaxtyping", "pydantic", "regex",
    "safetensors.torch", "scipy.stats", "tokenizers", "rich.console", "cyclopts", "jinja2",
)  # fmt: skip
PYTEST = (
    "-x", "-q", "-p", "no:cacheprovider", "--durations=0", "--no-header",
    "-m", "not slow and not gpu",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",  # plugins that the parent has imported
)  # fmt: skip
GRACE_SECONDS, PATIENCE, UNKNOWN_SECONDS = 90.0, 8.0, 900.0
"""A mutant hangs after the first and so many times what its tests take unchanged, or, where that is
not known, after the last."""
POLL_SECONDS = 0.05
KILLED = ("killed", "hung", "crashed")


class Mutant(NamedTuple):
    """One small fault."""

    room: str
    id: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Files or node ids."""

    def apply(self, root: Path) -> None:
        """Write the changed file; a new file, since the old one is a link."""
        path = root / self.file
        text = path.read_text(encoding="utf-8").replace(self.old, self.new)
        path.unlink()
        path.write_text(text, encoding="utf-8")

    def digest(self) -> str:
        """Hash of all that decides the result, but for the rest of the package."""
        files = [ROOT / self.file, *(ROOT / test.partition("::")[0] for test in self.tests)]
        parts = [repr(self).encode(), *(path.read_bytes() for path in files if path.is_file())]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()


class Watch:
    """A plugin of pytest that notes the time of each test and whether any ran."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        self.outcomes[report.outcome] += report.when == "call" or report.outcome != "passed"
        if report.outcome == "failed":
            self.failed.append(report.nodeid)


class Run(NamedTuple):
    """How a child ended."""

    status: int
    """Exit code; negative for a signal; None in `hung`."""
    seconds: float
    is_late: bool
    told: dict[str, Any]


def read_list(path: Path) -> list[Mutant]:
    """The mutants of one room; tests are the file's mirror unless they are named."""
    mutants = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutants"]:
        inner = Path(entry["file"]).relative_to("groundup")
        mirror = (Path("tests") / inner.parent / f"test_{inner.stem}.py").as_posix()
        tests = tuple(entry.get("tests", [mirror]))
        mutants.append(
            Mutant(path.stem, entry["id"], entry["file"], entry["old"], entry["new"], tests)
        )
    return mutants


def stale(mutants: Sequence[Mutant]) -> dict[str, str]:
    """What is wrong with mutants, by id: a fragment that is gone, a missing test, an id twice."""
    counts, found = Counter(mutant.id for mutant in mutants), dict[str, str]()
    for mutant in mutants:
        path = ROOT / mutant.file
        count = path.read_text(encoding="utf-8").count(mutant.old) if path.is_file() else 0
        missing = [test for test in mutant.tests if not (ROOT / test.partition("::")[0]).exists()]
        if count != 1:
            found[mutant.id] = f"its old text occurs {count} times in {mutant.file}; once expected"
        elif mutant.old == mutant.new or counts[mutant.id] > 1:
            found[mutant.id] = "it changes nothing, or its id is given twice"
        elif missing:
            found[mutant.id] = f"there is no {missing[0]}"
    return found


def copy_tree(target: Path) -> None:
    """Copy what git tracks or would track, and the tests' own cache of compiled code."""
    words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    if (home := ROOT / ".pytest_cache" / "home").is_dir():
        shutil.copytree(home, target / ".pytest_cache" / "home", symlinks=True)


def link_tree(source: Path, target: Path) -> None:
    """The same tree of files once more, without copying what is in them."""
    shutil.copytree(source, target, copy_function=os.link, symlinks=True)


def start(root: Path, tests: Sequence[str], is_first_fatal: bool, notes: Path) -> int:
    """Fork a child that runs tests in a tree and ends with pytest's exit code."""
    sys.stdout.flush()
    if child := os.fork():
        return child
    try:
        os.setsid()
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        output = os.open(notes.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(output, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ |= {"PYTHONPATH": str(root), "TMPDIR": str(notes.parent)}
        tempfile.tempdir = None
        os.chdir(root)
        here = [str(ROOT), str(LISTS), ""]
        sys.path[:] = [str(root), *(path for path in sys.path if path not in here)]
        status = run_tests(tests, is_first_fatal, notes)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(3)
    os._exit(status)


def run_tests(tests: Sequence[str], is_first_fatal: bool, notes: Path) -> int:
    """Run pytest in this process and write down what it saw."""
    import pytest

    watch = Watch()
    words = [word for word in PYTEST if word != "-x" or is_first_fatal]
    base = notes.parent / f"{notes.stem}.d"  # short: sockets' names have a hundred letters
    status = pytest.main([*words, f"--basetemp={base}", *tests], plugins=[watch])
    told = {"seconds": watch.seconds, "outcomes": watch.outcomes, "failed": watch.failed}
    notes.write_text(json.dumps(told))
    return int(status)


class Job(NamedTuple):
    """A child at work."""

    mutant: Mutant | None
    notes: Path
    tree: Path
    began: float
    limit: float


def run_unchanged(
    pristine: Path, work: Path, rooms: dict[str, list[Mutant]], given: argparse.Namespace
) -> tuple[Counter[str], list[str]]:
    """Run each room's tests unchanged, some rooms at a time; their seconds, and those that failed.

    What passed before and is the same since is not run again.
    """
    known = read_results(given.results.with_suffix(".unchanged.json"))
    seconds, wrong = Counter[str](), list[str]()
    waiting, busy = [] if given.green else list(rooms), dict[int, tuple[str, Job]]()
    while waiting or busy:
        while waiting and len(busy) < given.workers:
            room = waiting.pop(0)
            if room in known and known[room]["digest"] == room_digest(room, rooms[room]):
                seconds.update(known[room]["seconds"])
                continue
            tests = sorted({test for mutant in rooms[room] for test in mutant.tests})
            notes = work / f"base-{room}.json"
            child = start(pristine, tests, False, notes)
            busy[child] = room, Job(None, notes, pristine, time.monotonic(), float("inf"))
        if not busy:
            break
        child, job, run = wait_for_one({pid: job for pid, (_, job) in busy.items()})
        room, _ = busy.pop(child)
        seconds.update(run.told.get("seconds", {}))
        print(f"{room:10}  unchanged: {run.seconds:.0f} s, {run.told.get('outcomes')}", flush=True)
        failed = run.told.get("failed", [])
        if run.status and not failed:
            print(job.notes.with_suffix(".log").read_text(errors="replace")[-3000:])
            sys.exit(f"mutants: the tests of {room} cannot run (exit code {run.status})")
        wrong += failed
        if not failed:
            digest = room_digest(room, rooms[room])
            known[room] = {"digest": digest, "seconds": run.told["seconds"]}
            write_results(given.results.with_suffix(".unchanged.json"), known)
    return seconds, wrong


def room_digest(room: str, mutants: Sequence[Mutant]) -> str:
    """Hash of a room and of the tests that its mutants name."""
    tests = {test.partition("::")[0] for mutant in mutants for test in mutant.tests}
    files = [*sorted((ROOT / "groundup" / room).rglob("*.py")), *(ROOT / t for t in sorted(tests))]
    parts = [*sorted({test for mutant in mutants for test in mutant.tests})]
    parts += [path.read_text(encoding="utf-8") for path in files if path.is_file()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def wait_for_one(busy: dict[int, Job]) -> tuple[int, Job, Run]:
    """The next child that ends, or is ended because its time is up."""
    while True:
        for child, job in busy.items():
            found, status = os.waitpid(child, os.WNOHANG)
            spent = time.monotonic() - job.began
            is_late = not found and spent > job.limit
            if not found and not is_late:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)  # and whatever it started
            if is_late:
                _, status = os.waitpid(child, 0)
            told = json.loads(job.notes.read_text()) if job.notes.is_file() else {}
            return child, job, Run(os.waitstatus_to_exitcode(status), spent, is_late, told)
        time.sleep(POLL_SECONDS)


def verdict(run: Run) -> str:
    """What a mutant's run says of it."""
    if run.is_late:
        return "hung"
    if run.status < 0:
        return "crashed"
    # A failed test, or a file of tests that cannot be imported.
    if run.status in (1, 2) or run.told.get("failed"):
        return "killed"
    if run.status == 0:
        return "survived" if run.told["outcomes"].get("passed") else "not run"
    return "error"


def limit_of(mutant: Mutant, seconds: Counter[str]) -> float:
    """How long a mutant's tests may take."""
    usual = sum(
        spent for node, spent in seconds.items() if any(node.startswith(t) for t in mutant.tests)
    )
    return GRACE_SECONDS + PATIENCE * usual if usual else UNKNOWN_SECONDS


def run_mutants(
    mutants: Sequence[Mutant], seconds: Counter[str], wrong: Sequence[str], pristine: Path,
    work: Path, workers: int,
) -> Iterator[tuple[Mutant, Run, str]]:  # fmt: skip
    """Run all, so many at a time; yield each with its run and the end of its output."""
    waiting, busy = list(mutants), dict[int, Job]()
    number = 0
    while waiting or busy:
        while waiting and len(busy) < workers:
            mutant = waiting.pop(0)
            number += 1
            tree = work / f"t{number}"
            link_tree(pristine, tree)
            mutant.apply(tree)
            notes = work / f"m{number}.json"
            left_out = [f"--deselect={test}" for test in wrong]
            child = start(tree, [*mutant.tests, *left_out], True, notes)
            busy[child] = Job(mutant, notes, tree, time.monotonic(), limit_of(mutant, seconds))
        child, job, run = wait_for_one(busy)
        del busy[child]
        log = job.notes.with_suffix(".log").read_text(errors="replace")[-4000:]
        shutil.rmtree(job.tree, ignore_errors=True)
        shutil.rmtree(work / f"{job.notes.stem}.d", ignore_errors=True)
        assert job.mutant is not None
        yield job.mutant, run, log


def read_results(path: Path) -> dict[str, Any]:
    """Results of earlier runs, by id."""
    return json.loads(path.read_text()) if path.is_file() else {}


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Keep them; a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(path)


def report(mutants: Sequence[Mutant], results: dict[str, Any]) -> None:
    """Print killed and all by room, and what survived."""
    totals: Counter[str] = Counter()
    for room in dict.fromkeys(mutant.room for mutant in mutants):
        own = [mutant for mutant in mutants if mutant.room == room]
        ends = [results.get(mutant.id, {}).get("end", "not run") for mutant in own]
        killed = sum(end in KILLED for end in ends)
        totals.update(killed=killed, all=len(own))
        print(f"{room:10}  {killed:3d} of {len(own):3d} killed, {killed / len(own):4.0%}")
        for mutant, end in zip(own, ends, strict=True):
            if end not in KILLED:
                print(f"            {end}: {mutant.id}  {mutant.file}")
    share = totals["killed"] / max(1, totals["all"])
    print(f"{'all':10}  {totals['killed']:3d} of {totals['all']:3d} killed, {share:.1%}")


def settings(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--room", action="append", help="only this room; may be repeated")
    parser.add_argument("--only", action="append", help="only this mutant, with its tests' output")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--survivors", action="store_true", help="only what survived before")
    parser.add_argument("--green", action="store_true", help="do not run the tests unchanged")
    parser.add_argument("--list", action="store_true", help="count the mutants and check them")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file of results")
    return parser.parse_args(words)


def chosen(given: argparse.Namespace) -> list[Mutant]:
    """The mutants that are asked for."""
    every = [mutant for path in sorted(LISTS.glob("*.toml")) for mutant in read_list(path)]
    known = {mutant.room for mutant in every} | {mutant.id for mutant in every}
    if unknown := {*(given.room or ()), *(given.only or ())} - known:
        print(f"mutants: there is no {', '.join(sorted(unknown))}", file=sys.stderr)
        sys.exit(2)
    return [
        mutant
        for mutant in every
        if (not given.room or mutant.room in given.room)
        and (not given.only or mutant.id in given.only)
    ]


def preload() -> None:
    """Import what every child needs; threads would not survive the fork, so there are none."""
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ |= threads
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def work_on(mutants: Sequence[Mutant], given: argparse.Namespace, results: dict[str, Any]) -> bool:
    """Run what has no result yet, noting each; False if tests fail unchanged."""
    rooms: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        rooms.setdefault(mutant.room, []).append(mutant)
    # Not below /tmp, which sandboxes of the tests replace by their own.
    place = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="mut", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        pristine = work / "p"
        copy_tree(pristine)
        preload()
        seconds, wrong = run_unchanged(pristine, work, rooms, given)
        for test in wrong:
            print(f"fails unchanged, so it kills nothing: {test}", flush=True)
        done = run_mutants(mutants, seconds, wrong, pristine, work, given.workers)
        for number, (mutant, run, log) in enumerate(done, 1):
            end = verdict(run)
            results[mutant.id] = {
                "room": mutant.room, "file": mutant.file, "end": end, "digest": mutant.digest(),
                "by": "".join(run.told.get("failed", [])), "seconds": round(run.seconds, 1),
            }  # fmt: skip
            write_results(given.results, results)
            print(f"{number}/{len(mutants)}  {run.seconds:5.1f} s  {end:8}  {mutant.id}",
                  flush=True)  # fmt: skip
            if given.only or end == "error":
                print(log)
    return not wrong


def main() -> int:
    """Run the command line."""
    given = settings()
    mutants = chosen(given)
    wrong = stale(mutants)
    for name, why in wrong.items():
        print(f"mutants: {name} is stale: {why}", file=sys.stderr)
    mutants = [mutant for mutant in mutants if mutant.id not in wrong]
    if given.list:
        for room, count in Counter(mutant.room for mutant in mutants).items():
            print(f"{room:10}  {count:3d}")
        print(f"{'all':10}  {len(mutants):3d}")
        return 1 if wrong else 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the temporary folder goes
    results = read_results(given.results)
    left = [
        mutant
        for mutant in mutants
        if given.fresh or given.only or results.get(mutant.id, {}).get("digest") != mutant.digest()
        or (given.survivors and results[mutant.id]["end"] not in KILLED)
    ]  # fmt: skip
    is_sound = not left or work_on(left, given, results)
    report(mutants, results)
    return 0 if is_sound and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
