"""Real source files of many languages and licences, for measuring: fetched, never committed.

`python -m benchmarks.documents.code_sources FOLDER [--set first|second|fresh]` downloads the
packages of one set of code_packages.txt by their ordinary clients, unpacks them under FOLDER
without running anything and writes FOLDER/files.txt: every regular text file of at most 200 kB,
relative, sorted. Debian's own copyright files, which list the licences of a whole package, stand in
the first set only. `--draw SEED` prints names of Debian packages drawn at random by family from
what apt knows, none of them in the first set: so the others were made.
"""

import argparse
import random
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

# How many packages of each family a draw takes.
FAMILIES = {
    r"golang-.*-dev": 12, r"librust-.*-dev": 12, r"python3-.*": 22, r"ruby-.*": 9, r"php-.*": 9,
    r"node-.*": 12, r"libjs-.*": 6, r"lib.*-perl": 12, r"elpa-.*": 6, r"r-(cran|bioc)-.*": 10,
    r"lib.*-dev": 30, r"lib.*-ocaml-dev": 5, r"lua-.*": 4, r"tcl-.*|tk.*": 2, r"octave-.*": 3,
    r"gnome-shell-extension-.*": 3, r"vim-.*": 3, r".*-(common|data)": 14, r"gap-.*": 3,
    r"fonts-.*": 2, r"cl-.*": 3, r"gnuradio|gir.*|.*-utils": 6, r"texlive-.*": 2,
    r"asterisk.*|.*-scripts": 3, r"erlang-.*": 3,
}  # fmt: skip
OWN_FAMILY = ("librust", "libghc", "libocaml")
DRAWN_BYTES = (8_000, 4_000_000)
COPYRIGHT = re.compile(r"/usr/share/doc/[^/]+/copyright$")
TEXT_BYTES = 200_000


def packages() -> dict[str, list[str]]:
    """The sections of code_packages.txt."""
    found: dict[str, list[str]] = {}
    lines = (Path(__file__).parent / "code_packages.txt").read_text(encoding="utf-8").splitlines()
    names: list[str] = []
    for line in lines:
        if line.startswith("["):
            names = found.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            names += line.split()
    return found


def draw(seed: int) -> list[str]:
    """Names of Debian packages by family, at random from those that apt can fetch."""
    known = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True)
    used, sizes = set(packages()["first debian"]), {}
    for block in known.stdout.split("\n\n"):
        name = re.search(r"^Package: (.*)", block, re.MULTILINE)
        size = re.search(r"^Size: (.*)", block, re.MULTILINE)
        if name and size and DRAWN_BYTES[0] <= int(size[1]) <= DRAWN_BYTES[1]:
            sizes[name[1]] = int(size[1])
    taken: set[str] = set()
    stream = random.Random(seed)
    for family, count in FAMILIES.items():
        choice = [
            name
            for name in sorted(sizes.keys() - used - taken)
            if re.fullmatch(family, name)
            and not name.endswith(("-dbg", "-dbgsym", "-doc"))
            and not (family == r"lib.*-dev" and name.startswith(OWN_FAMILY))
        ]
        taken.update(stream.sample(choice, min(count, len(choice))))
    return sorted(taken)


def fetch(client: str, names: list[str], folder: Path) -> None:
    """Download packages by their client and unpack each into its folder, running nothing."""
    missing = [name for name in names if not (folder / name.replace("/", "+")).exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    command = {
        "debian": ["apt-get", "download", "-qq"],
        "npm": ["npm", "pack", "--silent"],
        "pypi": pip,
    }
    subprocess.run([*command[client], *missing], cwd=folder, stdout=subprocess.DEVNULL, check=False)
    for name in missing:
        place, plain = folder / name.replace("/", "+"), name.strip("@").replace("/", "-")
        start = re.compile(re.sub(r"[-_.]", "[-_.]", plain) + r"[-_]v?\d", re.IGNORECASE)
        files = [file for file in folder.iterdir() if file.is_file() and start.match(file.name)]
        if not files:
            print("missing", name, file=sys.stderr)
        for file in files:
            place.mkdir(exist_ok=True)
            unpack(file, place)
            file.unlink()


def unpack(file: Path, place: Path) -> None:
    """Unpack a package into a folder."""
    if file.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", file, place], check=True)
    elif file.suffix == ".tgz":
        with tarfile.open(file) as archive:
            archive.extractall(place, filter="data")
    else:
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(place)


def listing(folder: Path, copyrights: bool) -> list[str]:
    """Every regular text file that is not too large, sorted."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.is_file() or not 0 < file.stat().st_size <= TEXT_BYTES:
            continue
        if file.parent == folder or (not copyrights and COPYRIGHT.search(file.as_posix())):
            continue
        data = file.read_bytes()
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if b"\0" not in data:
            found.append(file.relative_to(folder).as_posix())
    return found


def main() -> None:
    """Fetch all and list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--set", choices=["first", "second", "fresh"], default="first")
    parser.add_argument("--draw", type=int)
    given = parser.parse_args()
    if given.draw is not None:
        print("\n".join(draw(given.draw)))
        return
    for section, names in packages().items():
        which, client = section.split()
        if which == given.set:
            fetch(client, names, given.folder / client)
    files = listing(given.folder, copyrights=given.set == "first")
    (given.folder / "files.txt").write_text("\n".join(files) + "\n", encoding="utf-8")
    print(f"{len(files)} files")


if __name__ == "__main__":
    main()
