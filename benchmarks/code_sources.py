"""Real source files of many languages and licences, for measuring: fetched, never committed.

`python benchmarks/code_sources.py FOLDER` downloads the Debian packages and npm packages below by
their ordinary clients, unpacks them under FOLDER and writes FOLDER/files.txt: every regular text
file of at most 200 kB, relative, sorted. Debian's files come with the licences that their
copyright files state; npm's with those of their package.json.
"""

import subprocess
import sys
import tarfile
from pathlib import Path

DEBIAN = """
libboost1.83-dev libeigen3-dev libgtest-dev libsqlite3-dev zlib1g-dev libcurl4-openssl-dev
libxml2-dev libglib2.0-dev libgtk-3-dev linux-libc-dev libssl-dev libpng-dev libavcodec-dev
libqt5core5t64 qtbase5-dev libsdl2-dev libzmq3-dev libevent-dev libuv1-dev libgmp-dev libncurses-dev
nlohmann-json3-dev libfmt-dev libspdlog-dev libcereal-dev rapidjson-dev libasio-dev catch2
golang-golang-x-net-dev golang-github-spf13-cobra-dev golang-github-pkg-errors-dev
golang-github-gorilla-mux-dev golang-github-hashicorp-hcl-dev golang-google-protobuf-dev
golang-github-prometheus-client-golang-dev golang-github-stretchr-testify-dev
golang-gopkg-yaml.v3-dev golang-github-docker-go-units-dev golang-etcd-server-dev
librust-serde-dev librust-regex-dev librust-tokio-dev librust-rand-dev librust-clap-dev
librust-libc-dev librust-hyper-dev librust-memchr-dev librust-syn-dev librust-ring-dev
ruby-rack ruby-sinatra ruby-nokogiri ruby-activesupport ruby-json ruby-redis ruby-aws-sdk-core
php-symfony-console php-monolog php-doctrine-orm php-guzzlehttp-guzzle php-twig phpmyadmin
libmojolicious-perl libmoose-perl libdatetime-perl libwww-perl liblwp-protocol-https-perl
tcllib lua-socket lua-lpeg elpa-magit elpa-org elpa-markdown-mode octave-statistics
python3-django python3-sqlalchemy python3-numpy python3-matplotlib python3-twisted python3-boto3
python3-botocore python3-flask python3-sklearn-lib python3-nltk python3-docutils python3-sphinx
python3-ansible-runner ansible python3-scrapy python3-babel python3-gi python3-reportlab
libjs-jquery libjs-bootstrap4 libjs-d3 libjs-mathjax libjs-codemirror node-lodash node-typescript
node-acorn node-webpack libocamlgraph-ocaml-dev libbatteries-ocaml-dev gcc-14-base
gambas3-examples freepats r-base-dev maxima-share julia-common bash-completion git-man
autoconf automake libtool cmake-data texlive-latex-recommended vim-runtime asymptote
scala-library emacs-el fonts-dejavu-core libcgal-dev libopencv-dev
""".split()
NPM = """
express react vue axios lodash moment chalk commander rxjs three d3 jquery bootstrap uglify-js
core-js webpack rollup typescript esprima antlr4 pegjs jison protobufjs google-protobuf
@babel/parser @stdlib/math mathjs highlight.js codemirror leaflet echarts socket.io mongoose
""".split()
TEXT_BYTES = 200_000


def debian(folder: Path) -> None:
    """Download and unpack each Debian package, one after another; a missing one is told."""
    for name in DEBIAN:
        place = folder / "debian" / name
        if place.exists():
            continue
        place.mkdir(parents=True)
        subprocess.run(["apt-get", "download", "-qq", name], cwd=place, stderr=subprocess.DEVNULL)
        for file in place.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", file.name, "."], cwd=place, check=True)
            print(file.name, file=sys.stderr)
            file.unlink()


def npm(folder: Path) -> None:
    """Pack and unpack each npm package, without its dependencies and without running anything."""
    for name in NPM:
        place = folder / "npm" / name.replace("/", "+")
        if place.exists():
            continue
        place.mkdir(parents=True)
        subprocess.run(["npm", "pack", "--silent", name], cwd=place, stdout=subprocess.DEVNULL)
        for file in place.glob("*.tgz"):
            with tarfile.open(file) as archive:
                archive.extractall(place, filter="data")
            print(file.name, file=sys.stderr)
            file.unlink()


def listing(folder: Path) -> list[str]:
    """Every regular text file that is not too large, sorted."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.is_file() or not 0 < file.stat().st_size <= TEXT_BYTES:
            continue
        data = file.read_bytes()
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if b"\0" not in data and file.parent != folder:
            found.append(file.relative_to(folder).as_posix())
    return found


def main() -> None:
    """Fetch all and list."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    debian(folder)
    npm(folder)
    files = listing(folder)
    (folder / "files.txt").write_text("\n".join(files) + "\n", encoding="utf-8")
    print(f"{len(files)} files")


if __name__ == "__main__":
    main()
