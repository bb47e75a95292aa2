"""code.repositories on real copies: packages that are one work by where they come from.

    python benchmarks/code_copies.py fetch FOLDER     downloads code_copies.txt by ordinary clients
    python benchmarks/code_copies.py judge FOLDER [--show]

A pair is the same version from Debian and from its publisher, two versions that follow each other,
or a fork under another name. Packages of different works make the pairs that are no copies. All
text files count, as they lie in the package. Nothing was chosen by looking at these packages.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from code_sources import listing, unpack
from groundup.corpus.dedup.repositories import (
    Repositories,
    RepositoriesConfig,
    Sketch,
    copies,
    merged,
)
from groundup.corpus.engine.rulings import read_rulings
from groundup.documents import Record, SourceMap, to_batch
from groundup.measure import wilson

PAIRS = Path(__file__).with_name("code_copies.txt")
CLIENTS = {
    "debian": ["apt-get", "download", "-qq"],
    "npm": ["npm", "pack", "--silent"],
    "pypi": [
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
    ],
}  # fmt: skip


class Pair(NamedTuple):
    """Two packages that are one work."""

    kind: str
    left: str
    right: str


def pairs() -> list[Pair]:
    """The pairs of code_copies.txt."""
    found = []
    for line in PAIRS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, left, right, *before = line.split()
        found.append(Pair(kind, left, right))
        if before:
            mark = "==" if "==" in right else "@"
            found.append(Pair("version", right, right.rpartition(mark)[0] + mark + before[0]))
    return found


def folder_of(package: str) -> str:
    """The folder that holds a package."""
    return package.replace("/", "+").replace(":", "-", 1)


def packages() -> list[str]:
    """Every package of the pairs once, sorted."""
    return sorted({name for pair in pairs() for name in pair[1:]})


def fetch(folder: Path) -> None:
    """Download each package into its folder, running nothing of it."""
    missing = [name for name in packages() if not (folder / folder_of(name)).exists()]
    debian = [name for name in missing if name.startswith("debian:")]
    for names in [debian, *([name] for name in missing if name not in debian)]:
        if not names:
            continue
        client = CLIENTS[names[0].partition(":")[0]]
        with tempfile.TemporaryDirectory() as scratch:
            wanted = [name.partition(":")[2] for name in names]
            subprocess.run([*client, *wanted], cwd=scratch, stdout=subprocess.DEVNULL, check=False)
            for file in Path(scratch).iterdir():
                own = f"debian:{file.name.partition('_')[0]}" if names == debian else names[0]
                (folder / folder_of(own)).mkdir(parents=True)
                unpack(file, folder / folder_of(own))
        for name in names:
            if not (folder / folder_of(name)).exists():
                print("missing", name, file=sys.stderr)


def works() -> dict[str, str]:
    """The work of each package: packages that pairs join are one."""
    work = {name: name for name in packages()}
    for pair in pairs():
        old, new = work[pair.right], work[pair.left]
        work = {name: new if one == old else one for name, one in work.items()}
    return work


def records(folder: Path) -> list[Record]:
    """The text files of all packages."""
    made = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in listing(place, copyrights=True):
            # bytes as they are: newlines of one system and of the other are two files
            text = (place / path).read_bytes().decode("utf-8")
            name = f"{place.name}/{path}"
            made.append(Record(name, "git", name, "code", text, SourceMap.identity(text)))
    return made


def survey(folder: Path) -> tuple[dict[str, Sketch], dict[str, set[str]], dict[str, str]]:
    """Sketch and set of texts of each package, and what the survey drops with what it keeps."""
    import pyarrow.parquet as parquet

    made = records(folder)
    files: dict[str, set[str]] = defaultdict(set)
    for record in made:
        files[record.path.partition("/")[0]].add(record.text)
    with tempfile.TemporaryDirectory() as scratch:
        shard = Path(scratch) / "files.parquet"
        first = to_batch(made[:1])
        with parquet.ParquetWriter(shard, first.schema) as writer:
            for at in range(0, len(made), 500):
                writer.write_batch(to_batch(made[at : at + 500]))
        each = lambda work, items: [work(item) for item in items]  # noqa: E731
        step = Repositories(RepositoriesConfig())
        [ruled] = step.rulings([shard], each, Path(scratch) / "s")
        dropped = {
            key.partition("/")[0]: ruling.details.removeprefix("kept: ")
            for key, ruling in read_rulings(ruled).items()
        }
        sketches = merged(iter(sorted((Path(scratch) / "s").glob("sketch-*.npz"))))
    return {name.removeprefix("git:"): one for name, one in sketches.items()}, files, dropped


def share(right: int, of: int) -> str:
    """A share with its interval."""
    found = wilson(right, of)
    return f"{right} of {of}, {found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]"


def judge(folder: Path, show: bool) -> None:
    """Print recall by kind of pair, asked alone, and precision of what the whole survey drops."""
    sketches, files, dropped = survey(folder)
    print(f"{len(sketches)} packages, {sum(map(len, files.values()))} different files")

    def is_found(a: str, b: str, jaccard: float) -> bool:
        config = RepositoriesConfig(jaccard=jaccard)
        return bool(copies({one: sketches[one] for one in (a, b)}, config))

    def likeness(a: str, b: str) -> float:
        return len(files[a] & files[b]) / len(files[a] | files[b])

    work = {folder_of(name): one for name, one in works().items()}
    others = [(a, b) for a, b in itertools.combinations(sorted(sketches), 2) if work[a] != work[b]]
    alike = sum(likeness(*one) >= RepositoriesConfig().jaccard for one in others)
    print(f"pairs of different works {len(others)}, of them alike by all files {alike}")
    by_kind: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for pair in pairs():
        names = folder_of(pair.left), folder_of(pair.right)
        if all(name in sketches for name in names):
            by_kind[pair.kind].append(names)
    for limit in (RepositoriesConfig().jaccard, 0.5, 0.3):
        false = sum(is_found(*one, limit) for one in others)
        print(f"from {limit}: false alarms {share(false, len(others))}")
        for kind, found in by_kind.items():
            hits = [one for one in found if is_found(*one, limit)]
            exact = Counter((likeness(*one) >= limit, one in hits) for one in found)
            print(f"  {kind:8}recall {share(len(hits), len(found))}; as all files say "
                  f"{exact[True, True] + exact[False, False]} of {len(found)}")  # fmt: skip
    right = sum(work[gone] == work[kept] for gone, kept in dropped.items())
    print(f"the whole survey: precision of packages dropped {share(right, len(dropped))}")
    for kind, found in by_kind.items() if show else ():
        for one in sorted(found, key=lambda pair: likeness(*pair)):
            print(f"{kind:8}{likeness(*one):.3f} {one[0]} {one[1]}")


def main() -> None:
    """Fetch or judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("fetch", "judge"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    if given.task == "fetch":
        fetch(given.folder)
    else:
        judge(given.folder, given.show)


if __name__ == "__main__":
    main()
