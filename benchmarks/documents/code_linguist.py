"""code.language and .generated against what GitHub's linguist has been told by people.

    git clone https://github.com/github-linguist/linguist
    python -m benchmarks.documents.code_linguist LINGUIST --half development|final [--show]

`samples/` holds files that people put under a language's name; up to ten of each are taken, under
their own names. `test/test_generated.rb` lists paths that must, and must not, be
generated: their files are read where linguist reads them, otherwise the
path alone decides. A path's CRC tells development from final. Measured at linguist b45dbe9
(2026-08-20); a language that languages.txt does not know is right if nothing is named for it.
"""

import argparse
import re
import zlib
from collections import Counter, defaultdict
from pathlib import Path

from groundup.documents import Record, SourceMap
from groundup.documents.code.language import detect_code_language, language_tables
from groundup.documents.code.quality import GeneratedFilter, GeneratedFilterConfig

EACH = 10
# Linguist's names that are another word here, and dialects that languages.txt takes as one.
SAME = {
    "assembly": "asm", "unix assembly": "asm", "motorola 68k assembly": "asm", "shell": "bash",
    "batchfile": "batch", "yacc": "bison", "lex": "flex", "cuda": "c++", "scss": "css",
    "sass": "css", "less": "css", "go checksums": "go-module", "go workspace": "go-module",
    "jupyter notebook": "notebook", "makefile": "make", "protocol buffer": "protobuf",
    "rocq prover": "coq", "roff manpage": "roff", "tex": "latex", "tsx": "typescript",
    "vim script": "vim", "visual basic 6.0": "visual-basic", "vba": "visual-basic",
    "visual basic .net": "visual-basic", "restructuredtext": "restructuredtext", "tsv": "csv",
    "plsql": "sql", "plpgsql": "sql", "tsql": "sql", "sqlpl": "sql", "json with comments": "json",
    "maven pom": "xml", "xml property list": "xml", "xslt": "xml", "ant build system": "xml",
    "m4sugar": "m4", "mercury": "mercury", "opencl": "c", "edn": "clojure", "jsonld": "json",
    "gradle kotlin dsl": "gradle", "objective-c++": "objective-c", "terraform template": "hcl",
    "literate agda": "agda", "gemfile.lock": "text", "tcsh": "bash", "verilog": "systemverilog",
    "oasv2-yaml": "yaml", "oasv3-yaml": "yaml", "oasv2-json": "json", "oasv3-json": "json",
    "bibtex style": "latex", "markdown": "markdown", "gettext catalog": "gettext",
    "openrc runscript": "bash", "alpine abuild": "bash", "web ontology language": "xml",
    "matlab": "octave", "classic asp": "visual-basic", "jflex": "flex",
}  # fmt: skip
TOLD = re.compile(
    r"(generated_(?:sample|fixture)_\w+\(|assert(?:_predicate)? !?(?:sample|fixture)_blob\()"
    r"\"([^\"]+)\"(, true)?"
)


def is_final(path: str) -> bool:
    """Which half a path belongs to."""
    return zlib.crc32(path.encode()) % 2 == 1


def languages(root: Path, half: str, show: bool) -> None:
    """Print how many samples get their language's name."""
    names = set(language_tables().syntax_families)
    counts: Counter[str] = Counter()
    wrong: dict[tuple[str, str], list[str]] = defaultdict(list)
    for folder in sorted((root / "samples").iterdir()):
        said = folder.name.lower()
        said = SAME.get(said, said.replace(" ", "-"))
        said = said if said in names else ""
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        for file in sorted(files, key=lambda file: zlib.crc32(file.name.encode()))[:EACH]:
            path = file.relative_to(root).as_posix()
            if is_final(path) != (half == "final"):
                continue
            found = detect_code_language(
                file.name, file.read_text(encoding="utf-8", errors="replace")
            ).name
            found = {"c-header": "c"}.get(found, found)
            counts["files"] += 1
            counts["known"] += bool(said)
            counts["named"] += bool(found and said)
            counts["right"] += bool(said) and found == said
            counts["others"] += not said
            counts["others named"] += bool(found and not said)
            if found != said:
                wrong[folder.name, found].append(file.name)
    right = counts["right"]
    print(
        f"language: {counts['known']} files of known languages: precision "
        f"{right / counts['named']:.1%} of {counts['named']} named, recall "
        f"{right / counts['known']:.1%}; {counts['others named']} of {counts['others']} files of "
        "languages not in the table are given one of it"
    )
    for (language, found), files in sorted(wrong.items()) if show else ():
        print(f"   {language} → {found or '-'}: {' '.join(files[:4])}")


def told(root: Path, test: str, wanted: str) -> dict[str, bool]:
    """Paths of a test of linguist's, and whether it must say yes."""
    found = {}
    text = (root / "test" / test).read_text(encoding="utf-8")
    for line in text.splitlines():
        match = TOLD.search(line)
        if match and (wanted in line):
            found[match[2]] = not ("!" in match[1] or match[3] or "refute" in line)
    return found


def origin(root: Path, half: str, show: bool) -> None:
    """Print how many of linguist's own cases are decided as it decides them."""
    steps = {
        "generated": (GeneratedFilter(GeneratedFilterConfig()), "test_generated.rb", "generated_"),
    }
    for name, (step, test, wanted) in steps.items():
        right, alarms, missed = 0, [], []
        cases = told(root, test, wanted)
        cases = {path: yes for path, yes in cases.items() if is_final(path) == (half == "final")}
        for path, yes in cases.items():
            places = [root / "samples" / path, root / "test/fixtures" / path]
            file = next((place for place in places if place.is_file()), None)
            text = file.read_text(encoding="utf-8", errors="replace") if file else "x = 1\n"
            record = Record("", "", path, "code", text, SourceMap.identity(text))
            found = bool(step(record).reason)
            right += found and yes
            alarms += [path] if found and not yes else []
            missed += [path] if yes and not found else []
        print(
            f"{name}: {len(cases)} cases, {sum(cases.values())} yes: right {right}, "
            f"false {len(alarms)}, missed {len(missed)}"
        )
        if show:
            print("   false ", *alarms, sep="\n      ")
            print("   missed", *missed, sep="\n      ")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("linguist", type=Path)
    parser.add_argument("--half", choices=["development", "final"], default="development")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    languages(given.linguist, given.half, given.show)
    origin(given.linguist, given.half, given.show)


if __name__ == "__main__":
    main()
