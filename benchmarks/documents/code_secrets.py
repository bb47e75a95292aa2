"""False alarms of safety.secrets on real code, and secrets planted in it.

    python -m benchmarks.documents.code_sources FOLDER
    python -m benchmarks.documents.code_secrets FOLDER --half development|final \
        [--lines 500000] [--show 50]
    python -m benchmarks.documents.code_secrets FOLDER --half final --planted 2000 2100
    … --oracle PYTHON        the same files and plants by detect-secrets, in the python that has it

Files are drawn evenly from all packages; those whose path's hash is even are for development. Every
alarm is printed with its line, masked, so that a person can say which are false.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

from groundup.corpus.safety.secrets import SecretsConfig, _find_secrets
from groundup.documents.code.language import detect_code_language
from groundup.measure import wilson_interval

SKIPPED = {
    "",
    "text",
    "markdown",
    "html",
    "json",
    "xml",
    "csv",
    "svg",
    "restructuredtext",
    "gettext",
}


def files(folder: Path, half: str) -> list[str]:
    """Paths of code of a half, the packages in turns."""
    groups: dict[str, list[str]] = {}
    for path in (folder / "files.txt").read_text(encoding="utf-8").splitlines():
        if (zlib.crc32(path.encode()) % 2 == 0) == (half == "development"):
            groups.setdefault("/".join(path.split("/")[:2]), []).append(path)
    for name, paths in groups.items():
        random.Random(name).shuffle(paths)
    longest = max(map(len, groups.values()))
    return [paths[at] for at in range(longest) for paths in groups.values() if at < len(paths)]


PLANTED_IN = {"py", "js", "go", "rb", "php", "c", "rs", "java", "yaml", "sh", "conf"}


ORACLE = """
import json, sys
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings
with default_settings():
    for path in sys.stdin.read().split("\\n"):
        found = [[s.type, s.secret_value, s.line_number] for s in scan_file(path)]
        print(json.dumps(found), flush=True)
"""
"""detect-secrets with its own default plugins and filters, on files by name."""


def oracle(python: str, paths: list[Path]) -> list[list[tuple[str, str, int]]]:
    """(kind, value, line) of what detect-secrets finds in each file."""
    done = subprocess.run(
        [python, "-c", ORACLE], input="\n".join(map(str, paths)), text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    return [[tuple(one) for one in json.loads(line)] for line in done.stdout.splitlines()]


def planted(folder: Path, half: str, seeds: range, python: str = "") -> None:
    """Plant secrets in real code, a seed a time, and print which are not found."""
    from benchmarks.corpus.planted_secrets import plant

    paths = [path for path in files(folder, half) if path.rsplit(".", 1)[-1] in PLANTED_IN]
    config, total, missed, at = SecretsConfig(), 0, [], 0
    by_kind: Counter[str] = Counter()
    missed_kinds: Counter[str] = Counter()
    for seed in seeds:
        lines: list[str] = []
        while len(lines) < 300:
            text = (folder / paths[at % len(paths)]).read_text(encoding="utf-8", errors="replace")
            lines, at = lines + text.split("\n"), at + 1
        made = plant(lines[:600], seed)
        text = "\n".join(made.lines)
        if python:
            with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                [told] = oracle(python, [Path(file.name)])
            # It names a private key by its first line alone.
            found = [value.removeprefix("BEGIN ") for _, value, _ in told if value]
        else:
            found = [text[s.start : s.end] for s in _find_secrets(text, config)]
        for one in made.planted:
            total += 1
            by_kind[one.kind] += 1
            if not any(value in one.secret or one.secret in value for value in found):
                missed_kinds[one.kind] += 1
                missed.append((seed, one.kind, one.secret, made.lines[one.line - 1][:120]))
    if not python:
        print(*missed, sep="\n")
    print({kind: f"{missed_kinds[kind]} of {by_kind[kind]}" for kind in missed_kinds})
    share = wilson_interval(total - len(missed), total)
    print(f"{total} planted, {len(missed)} missed: recall {share.estimate:.4f} "
          f"[{share.low:.4f}, {share.high:.4f}]")  # fmt: skip


def main() -> None:
    """Scan and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", default="development", choices=["development", "final"])
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--skip", type=int, default=0, help="lines passed over first")
    parser.add_argument("--show", type=int, default=50)
    parser.add_argument("--planted", type=int, nargs=2, metavar=("FIRST", "END"))
    parser.add_argument("--oracle", default="", metavar="PYTHON")
    given = parser.parse_args()
    if given.planted:
        planted(given.folder, given.half, range(*given.planted), given.oracle)
        return
    config, lines, skipped, size, alarms, seconds = SecretsConfig(), 0, 0, 0, [], 0.0
    languages: Counter[str] = Counter()
    scanned: list[str] = []
    for path in files(given.folder, given.half):
        text = (given.folder / path).read_text(encoding="utf-8", errors="replace")
        language = detect_code_language(path, text).name
        if language in SKIPPED:
            continue
        skipped += text.count("\n") + 1
        if skipped <= given.skip:
            continue
        started = time.process_time()
        found = _find_secrets(text, config)
        seconds += time.process_time() - started
        alarms += [
            (path, text.count("\n", 0, s.start) + 1, s.kind, text[s.start : s.end]) for s in found
        ]
        count = text.count("\n") + 1
        lines, size = lines + count, size + len(text)
        languages[language] += count
        scanned.append(path)
        if lines >= given.lines:
            break
    for path, line, kind, value in alarms[: given.show]:
        print(f"{kind:20} {value[:24]!r}… ({len(value)})  {path}:{line}")
    print(Counter(kind for _, _, kind, _ in alarms))
    print(dict(languages.most_common(12)))
    print(
        f"{len(alarms)} alarms in {lines} lines: {len(alarms) / lines * 10_000:.2f} in 10,000; "
        f"{size / seconds / 1e6:.1f} MB/s"
    )
    if given.oracle:
        told_by_oracle(given.oracle, given.folder, scanned, lines, given.show)


def told_by_oracle(python: str, folder: Path, paths: list[str], lines: int, show: int) -> None:
    """Print detect-secrets' alarms on the same files, a sample of them by a seed."""
    begun = time.perf_counter()
    found = oracle(python, [folder / path for path in paths])
    seconds = time.perf_counter() - begun
    alarms = [(path, *one) for path, told in zip(paths, found, strict=True) for one in told]
    for path, kind, value, line in random.Random(0).sample(alarms, min(show, len(alarms))):
        print(f"  {kind:28} {str(value)[:40]!r}  {path}:{line}")
    print(f"detect-secrets: {Counter(kind for _, kind, _, _ in alarms)}")
    print(f"detect-secrets: {len(alarms)} alarms in {lines} lines: "
          f"{len(alarms) / lines * 10_000:.2f} in 10,000; {seconds:.0f} s")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
