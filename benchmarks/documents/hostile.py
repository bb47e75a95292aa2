"""Hostile programs in the sandbox, every way in that this machine has, and what a start costs.

    python -m benchmarks.documents.hostile [--starts 30]

Runs each program of tests/core/sandbox/hostile.py, looks from outside at what it did, and prints
how it ended. Then times an empty Python program bare and in the sandbox, alternating. Writes
benchmarks/results/hostile.json; exits 1 if any program got away or ended as it should not.
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from groundup.core import Sandbox, SandboxLimits, device, write_json
from tests.core.sandbox.hostile import PROGRAMS, START
from tests.core.sandbox.witness import Witness

ROOT = Path(__file__).resolve().parents[2]
QUICK = SandboxLimits(seconds=1.0, memory_bytes=300 * 2**20, output_bytes=100_000)
PATIENT = QUICK.model_copy(update={"seconds": 60.0})


def main() -> int:
    """Run all of it; return the exit code."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--starts", type=int, default=30)
    starts = options.parse_args().starts
    os.environ["GROUNDUP_SECRET"] = "GROUNDUP_SECRET"
    box = Sandbox.open()
    rows = run_all(box)
    contained = sum(bool(row["contained"]) for row in rows)
    results = {"programs": len(rows), "contained": contained, **start_cost(box, starts)}
    print(results)
    content = {
        "rows": [], "machine": device.processor_name(), "date": datetime.date.today().isoformat(),
        "user": "root" if os.geteuid() == 0 else "an ordinary user",
        "summary": results, "programs": rows,
    }  # fmt: skip
    write_json(ROOT / "benchmarks" / "results" / "hostile.json", content)
    return int(not rows or not all(row["contained"] for row in rows))


def run_all(box: Sandbox) -> list[dict[str, object]]:
    """Every program once; how it ended and whether it was contained."""
    rows = []
    for hostile in PROGRAMS:
        limits = QUICK if "timeout" in hostile.ends else PATIENT
        with tempfile.TemporaryDirectory() as folder, Witness(Path(folder)) as witness:
            found = box.run_python(START + hostile.program, witness.arguments, limits=limits)
            seen = witness.saw(found.stdout)
        good = not seen and "ESCAPED" not in found.stdout and found.status in hostile.ends
        rows.append({"program": hostile.name, "status": found.status,
                     "seconds": round(found.seconds, 3), "contained": good})  # fmt: skip
        mark = " " if good else "!"
        print(f"{mark} {hostile.name:<45} {found.status:<13} {found.message[:60]}")
        if not good:
            print(found, seen)
    return rows


def start_cost(box: Sandbox, starts: int) -> dict[str, float]:
    """Median milliseconds of an empty Python program, bare and in the sandbox, alternating."""
    bare: list[float] = []
    inside: list[float] = []
    for _ in range(starts):
        bare.append(timed(lambda: subprocess.run([sys.executable, "-c", ""], check=True)))
        inside.append(timed(lambda: box.run_python("")))
    return {"bare_ms": round(1000 * median(bare), 1), "sandbox_ms": round(1000 * median(inside), 1)}


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
