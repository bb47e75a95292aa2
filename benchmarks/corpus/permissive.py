"""A permissive corpus: Debian's documentation packages whose licences let anybody train on them.

    python -m benchmarks.corpus.permissive fetch FOLDER  needs apt and dpkg-deb; unpacks text alone
    groundup prepare benchmarks/corpus/permissive.toml --out runs/permissive-corpus
    groundup prepare benchmarks/corpus/permissive_held_out.toml --out runs/held-out-corpus
    groundup tokenizer runs/permissive-corpus --out runs/permissive-tokenizer --set vocab_size=16384
    groundup tokens runs/permissive-corpus --tokenizer runs/permissive-tokenizer --out TOKENS
    python -m benchmarks.corpus.permissive pipeline              writes both pipelines anew
    python -m benchmarks.corpus.permissive table FOLDER CORPUS TOKENIZER \
        > docs/benchmarks/permissive-licences.md

The pipeline reads `runs/permissive`. What a package's copyright file declares for `Files: *`, the
file's sha256, the package's version and its sha256 are kept in FOLDER/packages.json. The corpus
itself is never committed.
"""

import argparse
import hashlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = {
    "ant-doc": "Apache-2.0",
    "apache2-doc": "Apache-2.0",
    "cinder-doc": "Apache-2.0",
    "crystal-doc": "Apache-2.0",
    "dcmtk-doc": "BSD-3-Clause",
    "erlang-doc": "Apache-2.0",
    "fop-doc": "Apache-2.0",
    "glance-doc": "Apache-2.0",
    "groovy-doc": "Apache-2.0",
    "halide19-api-doc": "MIT",
    "heat-doc": "Apache-2.0",
    "icu-doc": "Unicode-3.0",
    "ironic-doc": "Apache-2.0",
    "jython-doc": "PSF-2.0",
    "keystone-doc": "Apache-2.0",
    "libapache-poi-java-doc": "Apache-2.0",
    "libboost1.88-doc": "BSL-1.0",
    "libcommons-math3-java-doc": "Apache-2.0",
    "libcrypto++-doc": "BSL-1.0",
    "libfastdds-doc": "Apache-2.0",
    "liblapack-doc": "BSD-3-Clause",
    "libxcb-doc": "MIT",
    "neutron-doc": "Apache-2.0",
    "nodejs-doc": "MIT",
    "nova-doc": "Apache-2.0",
    "octavia-doc": "Apache-2.0",
    "openmpi-doc": "BSD-3-Clause",
    "php-doc": "CC-BY-3.0",
    "postgresql-doc-17": "PostgreSQL",
    "python-astropy-doc": "BSD-3-Clause",
    "python-biopython-doc": "BSD-3-Clause",
    "python-django-doc": "BSD-3-Clause",
    "python-matplotlib-doc": "PSF-2.0",
    "python-numpy-doc": "BSD-3-Clause",
    "python-openstacksdk-doc": "Apache-2.0",
    "python-pandas-doc": "BSD-3-Clause",
    "python-pytest-doc": "MIT",
    "python-scipy-doc": "BSD-3-Clause",
    "python-sklearn-doc": "BSD-3-Clause",
    "python-sqlalchemy-doc": "MIT",
    "python-statsmodels-doc": "BSD-3-Clause",
    "python-xarray-doc": "Apache-2.0",
    "python3.13-doc": "PSF-2.0",
    "rust-doc": "MIT OR Apache-2.0",
    "simbody-doc": "Apache-2.0",
    "sphinx-doc": "BSD-2-Clause",
    "sqlite3-doc": "blessing",
    "swift-doc": "Apache-2.0",
    "tomcat10-docs": "Apache-2.0",
    "twisted-doc": "MIT",
    "ghc-doc": "BSD-3-Clause",
    "petsc3.22-doc": "BSD-2-Clause",
}
"""Package to licence of its text, read by a person in its /usr/share/doc/PACKAGE/copyright."""
HELD_OUT = {
    "barbican-doc": "Apache-2.0",
    "golang-1.24-doc": "BSD-3-Clause",
    "python-aiohttp-doc": "Apache-2.0",
    "python-cryptography-doc": "Apache-2.0 OR BSD-3-Clause",
    "python-dask-doc": "BSD-3-Clause",
    "python-scrapy-doc": "BSD-3-Clause",
    "python-skimage-doc": "BSD-3-Clause",
}
"""Packages that no model is trained on: what it is worth on text of another origin."""
SKIPPED = {
    "javadoc": "*/class-use/* */index-files/* */index-*.html */package-tree.html "
    "*/package-use.html */allclasses* */overview-tree.html *-frame.html "
    "*/constant-values.html */doc-index*.html",
    "doxygen": "*-members.html */functions*.html */dir_*.html */globals*.html */hierarchy.html "
    "*/namespacemembers*.html */inherit*.html */graph_legend.html */classes.html */annotated.html "
    "*/files.html",
    "sphinx": "*/_sources/* */genindex* */py-modindex.html */search.html */_static/*",
    "haddock": "*/_sources/* */genindex* */doc-index* */_static/* */search.html",
    "rustdoc": "*/all.html */html/core/* */html/alloc/* */html/src/*",
}
"""Indexes that a program made, and what stands in the same package a second time."""
STYLES = {
    "javadoc": "ant-doc fop-doc groovy-doc jython-doc libapache-poi-java-doc "
    "libcommons-math3-java-doc",
    "doxygen": "dcmtk-doc halide19-api-doc icu-doc libcrypto++-doc liblapack-doc "
    "libfastdds-doc libxcb-doc simbody-doc libboost1.88-doc",
    "haddock": "ghc-doc",
    "rustdoc": "rust-doc",
}
"""What made a package's pages; Sphinx the others'."""
ENDINGS = ("html", "htm", "xhtml", "txt", "rst", "md")
FIELD = re.compile(r"^(Files|License):[ \t]*(.*(?:\n[ \t]+.*)*)", re.MULTILINE)


def fetch(folder: Path) -> None:
    """Download every package that is not there and unpack its text and its copyright file."""
    debs = folder / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    facts = {}
    for package in PACKAGES | HELD_OUT:
        if not list(debs.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "-qq", "download", package], cwd=debs, check=True)
        (deb,) = debs.glob(f"{package}_*.deb")
        if not (folder / package).exists():
            unpack(deb, folder / package)
        facts[package] = describe(deb, folder / package, package)
        print(package, facts[package]["version"], facts[package]["declared"], flush=True)
        (folder / "packages.json").write_text(json.dumps(facts, indent=1) + "\n")


def unpack(deb: Path, out: Path) -> None:
    """Write a package's texts: pictures and compressed files stay in it."""
    out.mkdir()
    wanted = [f"*.{ending}" for ending in ENDINGS] + ["*/copyright"]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as stream:
        command = ["tar", "-x", "-C", out, "--wildcards", "--no-same-permissions", *wanted]
        subprocess.run(command, stdin=stream.stdout, check=False, stderr=subprocess.DEVNULL)


def describe(deb: Path, folder: Path, package: str) -> dict[str, Any]:
    """Version, hashes, and what the copyright file declares."""
    fields = ["dpkg-deb", "-f", deb, "Version"]
    version = subprocess.run(fields, check=True, capture_output=True, text=True).stdout.strip()
    found = folder / "usr/share/doc" / package / "copyright"
    data = found.read_bytes() if found.is_file() else b""
    every, others = declared(data.decode("utf-8", "replace"))
    return {
        "version": version,
        "sha256": hashlib.sha256(deb.read_bytes()).hexdigest(),
        "copyright_sha256": hashlib.sha256(data).hexdigest() if data else "",
        "declared": every,
        "others": others,
    }


def declared(copyright: str) -> tuple[str, list[str]]:
    """The licence of `Files: *` and the other files' licences (copyright-format 1.0)."""
    every, others, files = "", set(), ""
    for name, value in FIELD.findall(copyright):
        if name == "Files":
            files = " ".join(value.split())
        elif files:
            short = value.split("\n")[0].strip()
            every, others = (short, others) if files == "*" else (every, others | {short})
            files = ""
    return every, sorted(others - {every})


HEAD = """# Debian's permissive documentation as a corpus; sources are written by permissive.py.
# Rules of web pages are eased where reference manuals would fail them: tables of functions have few
# stop words, long names and many signs. Rules on repetition, and C4's on braces, are left out:
# see docs/reference/corpus.md.
shard_bytes = 67108864

[split]
validation_share = 0.02
test_share = 0.02
"""
STEPS = """
[[steps]]
use = "web.main_text"
only = { kinds = ["html"] }

[[steps]]
use = "documents.read"

[[steps]]
use = "language.identify"
settings = { keep = ["en"], keep_undetermined = true }

[[steps]]
use = "dedup.exact"

[[steps]]
use = "web.site_lines"

[[steps]]
use = "web.lines"

[[steps]]
use = "quality.gopher"
[steps.settings]
fewest_words = 20
longest_mean = 20.0
most_symbols = 0.3
fewest_alphabetic = 0.4
fewest_stop_words = 0

[[steps]]
use = "safety.secrets"

[[steps]]
use = "safety.personal"

[[steps]]
use = "dedup.minhash"

[[steps]]
use = "dedup.substrings"
"""


def pipeline(packages: dict[str, str], head: str, steps: str) -> str:
    """A pipeline of packages."""
    pieces = [head]
    styles = {name: style for style, names in STYLES.items() for name in names.split()}
    for package, licence in packages.items():
        patterns = ["*/copyright", *SKIPPED[styles.get(package, "sphinx")].split()]
        pieces.append(
            f'\n[[sources]]\nname = "{package}"\npath = "../runs/permissive/{package}"\n'
            f'licence = "{licence}"\nsettings = {{ skip = {json.dumps(patterns)} }}\n'
        )
    return "".join([*pieces, steps])


HELD_OUT_HEAD = """# Debian packages that no model of ours is trained on, prepared as in
# permissive.toml; nearly all pages are test. Written by permissive.py.

[split]
validation_share = 0.0
test_share = 0.99
"""


def pipelines() -> dict[str, str]:
    """Each pipeline's file and text."""
    return {
        "permissive.toml": pipeline(PACKAGES, HEAD, STEPS),
        "permissive_held_out.toml": pipeline(HELD_OUT, HELD_OUT_HEAD, STEPS),
    }


def table(folder: Path, corpus: Path, tokenizer: Path) -> str:
    """The page of packages: version, licence, what is declared, documents and tokens."""
    facts = json.loads((folder / "packages.json").read_text())
    counters = json.loads((corpus / "counters.json").read_text())
    told = counters["sources"]
    tokens = count_tokens(corpus, tokenizer)
    rows, sums = [], [0, 0, 0, 0]
    for package, licence in PACKAGES.items():
        fact, source = facts[package], told[package]
        splits = source["splits"].values()
        kept = sum(split["documents"] for split in splits)
        size = sum(split["bytes"] for split in splits)
        numbers = [source["steps"][0]["out"], kept, size, tokens[package]]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        declared = f"`{fact['declared']}`" if fact["declared"] else "in words"
        rows.append(
            f"| {package} | {fact['version']} | {licence} | {declared} | "
            f"`{fact['copyright_sha256'][:12]}` | `{fact['sha256'][:12]}` | {cells(numbers)} |"
        )
    rows.append(f"| **{len(PACKAGES)} packages** | | | | | | {cells(sums)} |")
    return PAGE + "\n".join([*rows, FUNNEL, *funnel(counters["steps"])]) + "\n"


def funnel(steps: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a row a step: what is left after it, and its most frequent reasons."""
    for step in steps:
        taken = Counter[str]()
        for what, reasons in step["taken"].items():
            for reason, count in reasons.items():
                taken[f"{reason} ({'' if what == 'record' else what + ' '}{count:,})"] = count
        reasons = ", ".join(reason for reason, _ in taken.most_common(4))
        size = "" if "bytes" in step else f"{step['characters'] / 1e6:,.1f}"
        yield f"| {step['name']} | {step['out']:,} | {size} | {reasons} |"


def cells(numbers: list[int]) -> str:
    """Pages read, documents kept, MB and millions of tokens."""
    read, kept, size, tokens = numbers
    return f"{read:,} | {kept:,} | {size / 1e6:,.1f} | {tokens / 1e6:,.2f}"


def count_tokens(corpus: Path, tokenizer: Path) -> Counter[str]:
    """Tokens of every source over all splits, ends of documents not counted."""
    import pyarrow.parquet as parquet

    from groundup.tokenizer import load_bpe_tokenizer

    found, encoder = Counter[str](), load_bpe_tokenizer(tokenizer)
    for shard in sorted(corpus.glob("*/[0-9]*.parquet")):
        if shard.parent.name == "removed":
            continue
        with parquet.ParquetFile(shard) as file:
            for batch in file.iter_batches(500, columns=["source", "text"]):
                rows = encoder.encode_arrays(batch["text"].to_pylist())
                for source, ids in zip(batch["source"].to_pylist(), rows, strict=True):
                    found[source] += len(ids)
    return found


PAGE = """# A permissive corpus: packages and licences

Documentation packages of Debian 13 of which the copyright file in the package itself gives a
permissive licence: `benchmarks/corpus/permissive.toml` prepares them, `permissive.py table`
writes this page. *Declared* is the licence of `Files: *` where the file is in Debian's format;
*copyright* and *package* are the beginnings of the sha256 of that file and of the package. Other
files of a source may have other licences; packages were left out where those are copyleft and
concern the documentation (RDKit's and PCL's manuals are CC-BY-SA), where the copyright file lies in
another package (CMake, ImageMagick), and where the pages describe libraries of others (Cargo).
CC-BY, PSF-2.0 and the like ask for attribution: a record keeps its source, path and licence.
OpenStack's pages say CC-BY-3.0 of themselves, where the copyright file says Apache-2.0.

| package | version | licence | declared | copyright | package | pages | kept | MB | M tokens |
|---|---|---|---|---|---|---|---|---|---|
"""
FUNNEL = """
## What each step left

| step | documents | M characters | most frequent reasons |
|---|---|---|---|"""


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["fetch", "pipeline", "table"])
    parser.add_argument("folder", type=Path, nargs="?", default=HERE.parents[1] / "runs/permissive")
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("tokenizer", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.what == "fetch":
        fetch(arguments.folder)
    elif arguments.what == "pipeline":
        for file, text in pipelines().items():
            (HERE / file).write_text(text)
    else:
        print(table(arguments.folder, arguments.corpus, arguments.tokenizer), end="")


if __name__ == "__main__":
    main()
