"""False alarms of safety.secrets on real code, and secrets planted in it.

    python benchmarks/code_sources.py FOLDER
    python benchmarks/code_secrets.py FOLDER --half development|final [--lines 500000] [--show 50]
    python benchmarks/code_secrets.py FOLDER --half final --planted 2000 2100    seeds, the last not

Files are drawn evenly from all packages; those whose path's hash is even are for development. Every
alarm is printed with its line, masked, so that a person can say which are false.
"""

import argparse
import random
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

from groundup.corpus.safety.secrets import SecretsConfig, secrets_in
from groundup.documents.code.language import language_of

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


def planted(folder: Path, half: str, seeds: range) -> None:
    """Plant secrets in real code, a seed a time, and print which are not found."""
    from planted_secrets import plant

    paths = [path for path in files(folder, half) if path.rsplit(".", 1)[-1] in PLANTED_IN]
    config, total, missed, at = SecretsConfig(), 0, [], 0
    for seed in seeds:
        lines: list[str] = []
        while len(lines) < 300:
            text = (folder / paths[at % len(paths)]).read_text(encoding="utf-8", errors="replace")
            lines, at = lines + text.split("\n"), at + 1
        made = plant(lines[:600], seed)
        text = "\n".join(made.lines)
        found = [text[s.start : s.end] for s in secrets_in(text, config)]
        for one in made.planted:
            total += 1
            if not any(value in one.secret or one.secret in value for value in found):
                missed.append((seed, one.kind, one.secret, made.lines[one.line - 1][:120]))
    print(*missed, f"{total} planted, {len(missed)} missed", sep="\n")


def main() -> None:
    """Scan and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", default="development", choices=["development", "final"])
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--skip", type=int, default=0, help="lines passed over first")
    parser.add_argument("--show", type=int, default=50)
    parser.add_argument("--planted", type=int, nargs=2, metavar=("FIRST", "END"))
    given = parser.parse_args()
    if given.planted:
        planted(given.folder, given.half, range(*given.planted))
        return
    config, lines, skipped, size, alarms, seconds = SecretsConfig(), 0, 0, 0, [], 0.0
    languages: Counter[str] = Counter()
    for path in files(given.folder, given.half):
        text = (given.folder / path).read_text(encoding="utf-8", errors="replace")
        language = language_of(path, text).name
        if language in SKIPPED:
            continue
        skipped += text.count("\n") + 1
        if skipped <= given.skip:
            continue
        started = time.process_time()
        found = secrets_in(text, config)
        seconds += time.process_time() - started
        alarms += [
            (path, text.count("\n", 0, s.start) + 1, s.kind, text[s.start : s.end]) for s in found
        ]
        count = text.count("\n") + 1
        lines, size = lines + count, size + len(text)
        languages[language] += count
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


if __name__ == "__main__":
    sys.exit(main())
