"""Real HTML pages from Debian documentation packages: fetch them, list them, cut them into lines.

    python -m benchmarks.documents.web_pages DIRECTORY  download, unpack (400 MB, needs apt)
    python -m benchmarks.documents.web_pages DIRECTORY --count

Each package is one site with one template: sidebars, breadcrumbs, headers, footers, search boxes.
Nothing of them is committed. `visible_lines` is the neutral segmentation in which pages are marked
by hand: it knows block elements and nothing else, and shares no code with any extractor.
"""

import argparse
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

PACKAGES = {
    "anarchism": "GFDL-1.1+ or GPL",
    "ant-doc": "Apache-2.0",
    "apache2-doc": "Apache-2.0",
    "cmake-doc": "BSD-3-Clause",
    "debian-faq": "GPL-2+",
    "debian-handbook": "CC-BY-SA-3.0 or GPL-2+",
    "debian-policy": "GPL-2+",
    "debian-reference-en": "GPL-2+",
    "developers-reference": "GPL-2+",
    "erlang-doc": "Apache-2.0",
    "exim4-doc-html": "GPL-2+",
    "fp-docs-3.2.2": "LGPL-2+ with exception",
    "gimp-help-en": "GFDL-1.2+",
    "git-doc": "GPL-2",
    "gnuplot-doc": "gnuplot",
    "installation-guide-amd64": "GPL-2+",
    "jargon": "public domain",
    "libglib2.0-doc": "LGPL-2.1+",
    "libgtk-4-doc": "LGPL-2.1+",
    "libreoffice-help-en-us": "MPL-2.0",
    "lilypond-doc-html": "GFDL-1.3+",
    "nodejs-doc": "MIT",
    "octave-doc": "GPL-3+",
    "openjdk-21-doc": "GPL-2 with Classpath exception",
    "perl-doc": "Artistic or GPL-1+",
    "php-doc": "CC-BY-3.0",
    "postfix-doc": "EPL-2.0 or IPL-1.0",
    "postgresql-doc-17": "PostgreSQL",
    "python-django-doc": "BSD-3-Clause",
    "python-numpy-doc": "BSD-3-Clause",
    "python3.13-doc": "PSF-2.0",
    "qt6-base-doc-html": "GFDL-1.3",
    "r-doc-html": "GPL-2+",
    "rust-doc": "MIT or Apache-2.0",
    "scala-doc": "Apache-2.0",
    "sqlite3-doc": "public domain",
    "tomcat10-docs": "Apache-2.0",
    "zsh-doc": "MIT-like",
}
"""Package to licence of its text, as its /usr/share/doc/PACKAGE/copyright says."""

PAGE = re.compile(r"\.x?html?(\.[a-z]{2}(-[a-z]{2})?)?$")
BLOCKS = frozenset(
    "address article aside blockquote body br button caption center dd details dialog div dl dt "
    "fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol option p "
    "pre section select summary table tbody tfoot thead title tr ul".split()
)
UNSEEN = frozenset("script style noscript template head svg iframe object textarea".split())


class Lines(HTMLParser):
    """Visible text, a line for each block, row or line of a `pre`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.unseen: list[str] = []
        self.pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        if tag in UNSEEN and tag != "head":
            self.unseen.append(tag)
        elif tag == "body":
            self.unseen.clear()
        elif tag == "head":
            self.unseen.append(tag)
        if tag in BLOCKS:
            self.pieces.append("\n")
        elif tag in ("td", "th"):
            self.pieces.append(" ")
        self.pre += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element with a slash: XHTML means it empty."""
        if tag in BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if self.unseen and tag == self.unseen[-1]:
            self.unseen.pop()
        if tag in BLOCKS:
            self.pieces.append("\n")
        self.pre -= tag == "pre" and self.pre > 0

    def handle_data(self, data: str) -> None:
        """Text."""
        if not self.unseen:
            self.pieces.append(data if self.pre else re.sub(r"\s+", " ", data))


def visible_lines(html: str) -> list[str]:
    """The page's visible text in lines without empty ones, white space folded."""
    parser = Lines()
    parser.feed(html)
    parser.close()
    lines = "".join(parser.pieces).split("\n")
    return [folded for line in lines if (folded := " ".join(line.split()))]


def pages(directory: Path, package: str) -> list[Path]:
    """The HTML files of a package in a stable order, links left out."""
    found = (path for path in (directory / package).rglob("*") if PAGE.search(path.name))
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def all_pages(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield (package, file) of every package that is there."""
    for package in PACKAGES:
        for path in pages(directory, package):
            yield package, path


def download(directory: Path) -> None:
    """Fetch every package from the machine's Debian mirror and unpack it."""
    archives = directory / "debs"
    archives.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not (directory / package).exists():
            subprocess.run(["apt-get", "-q", "download", package], cwd=archives, check=True)
            archive = next(archives.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg-deb", "-x", archive, directory / package], check=True)
            print(archive.name)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--count", action="store_true", help="only count the pages")
    arguments = parser.parse_args()
    if not arguments.count:
        download(arguments.directory)
    counts = {package: len(pages(arguments.directory, package)) for package in PACKAGES}
    print(*(f"{count:6d} {package}" for package, count in counts.items()), sep="\n")
    print(f"{sum(counts.values()):6d} pages")


if __name__ == "__main__":
    main()
