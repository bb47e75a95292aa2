"""A corpus keeps its splits apart, gives the same bytes for the same files, and tells what went."""

import random
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    DataError,
    produce,
    record,
    write_text,
)
from groundup.corpus import (
    SPLITS,
    CorpusConfig,
    corpus,
    read_split,
    write_corpus,
)
from groundup.corpus.dedup import sketch
from groundup.corpus.explain import report, why, withdraw
from groundup.corpus.explain.reading import read_removals, record_names
from groundup.corpus.prepare.folder import (
    SOURCE,
    _remove_exact,
    _remove_near,
    _remove_overlapping,
)
from groundup.documents import Record, Rejected, fingerprint_folder, read_bytes, read_folder

DOCX = (
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
    "<w:p><w:r><w:t>"
)
END = "</w:t></w:r></w:p></w:body></w:document>"
CONFIG = CorpusConfig(validation_share=0.2, test_share=0.2)


def text(seed: int, words: int = 80) -> str:
    return " ".join(f"w{random.Random(seed * 1000 + n).randrange(400)}" for n in range(words))


def make(documents: Iterable[Record | Rejected], out: Path, config=CONFIG) -> Artifact:
    return produce(
        out,
        kind="corpus",
        stage="test",
        version=1,
        config=config,
        parents={},
        write=lambda draft: write_corpus(draft, documents, config),
    )


def shingles(content: str) -> set[tuple[str, ...]]:
    """Word 5-grams, plainly."""
    words = content.lower().split()
    return {tuple(words[n : n + 5]) for n in range(len(words) - 4)}


def document(path: str, content: str) -> Record:
    return read_bytes(content.encode(), path)


def family(seed: int) -> list[Record]:
    """Some texts, each with close and distant relatives."""
    found = []
    for number in range(6):
        base = text(100 * seed + number, 120).split()
        found.append(document(f"{number}/base.txt", " ".join(base)))
        for changes in (0, 1, 2, 3, 8, 40):
            words, chance = base.copy(), random.Random(changes)
            for place in chance.sample(range(len(words)), changes):
                words[place] = "changed"
            found.append(document(f"{number}/{changes}.txt", " ".join(words)))
    return found


def removed(artifact: Artifact) -> list[dict[str, str]]:
    """Path and reason of every removal, and the path of the document that its details name."""
    rows = list(read_removals(artifact))
    names = record_names(artifact, {row.details[:32] for row in rows})
    paths = {id: name.removeprefix(f"{SOURCE}/") for id, name in names.items()}
    return [
        {"path": row.path, "reason": row.reason, "of": paths.get(row.details[:32], "")}
        for row in rows
    ]


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "my docs"
    (root / "Größe").mkdir(parents=True)
    for number in range(30):
        (root / "Größe" / f"{number}.txt").write_text(text(number), encoding="utf-8")
    (root / "copy.txt").write_text(text(0), encoding="utf-8")
    (root / "nearly.txt").write_text(text(1) + " end", encoding="utf-8")
    (root / "latin.txt").write_bytes(b"caf\xe9")
    (root / "short.txt").write_text("short")
    (root / "page.html").write_text("<h1>Title</h1><p>A page &amp; its words, all of them new.")
    return root


def test_no_document_is_near_one_of_another_split(folder, tmp_path):
    for number in range(30):
        near = text(number, 79) + " tail"
        (folder / f"near {number}.txt").write_text(near, encoding="utf-8")
    artifact = corpus(CONFIG, folder, tmp_path / "out")
    documents = [(d, split) for split in SPLITS for d in read_split(artifact, split)]
    assert {split for _, split in documents} == set(SPLITS)
    sets = [shingles(d.text) for d, _ in documents]
    for n, a in enumerate(sets):
        assert all(len(a & b) / len(a | b) < 0.8 for b in sets[:n])
    reasons = artifact.numbers["removed"]
    assert reasons["near-duplicate"] + reasons["near-duplicate of held-out"] == 31
    split_of = {d.path: split for d, split in documents}
    for row in removed(artifact):
        if row["reason"] == "near-duplicate":
            assert row["of"] < row["path"], "the first path stays"
        if row["reason"] == "near-duplicate of held-out":
            assert split_of[row["of"]] in ("validation", "test")


def test_what_lies_within_a_held_out_document_goes_and_what_holds_one_too():
    page, other = text(1, 120), text(2, 120)
    book = " ".join([text(3, 900), page, text(4, 900)])
    rest = [document("book", book), document("other", other), document("page", page)]
    ids = {d.path: d.id for d in rest}
    for held, gone in (("page", "book"), ("book", "page")):
        held_out = [d for d in rest if d.path == held]
        kept, rows = _remove_overlapping([d for d in rest if d.path != held], held_out, 0.5)
        assert [d.path for d in kept] == ["other"]
        assert rows[ids[gone]].details.startswith(ids[held]) and len(rows) == 1
    licence, long = text(6, 30), text(7, 400)  # 26 shingles: too short to be contained
    assert not _remove_overlapping(
        [document("long", f"{licence} {long}")], [document("licence", licence)], 0.5
    )[1]


def test_overlap_is_that_of_plain_sets_and_the_threshold_counts():
    documents = family(5)
    held_out, rest = documents[::4], [d for n, d in enumerate(documents) if n % 4]
    for threshold in (0.3, 0.5, 0.9):
        kept = {d.path for d in _remove_overlapping(rest, held_out, threshold)[0]}
        for d in rest:
            mine = shingles(d.text)
            shares = [
                len(mine & theirs) / min(len(mine), len(theirs))
                for theirs in (shingles(held.text) for held in held_out)
            ]
            assert (d.path in kept) is (max(shares) < threshold)


def test_exact_duplicates_go_to_the_first_path():
    marked = read_bytes(b"\xef\xbb\xbfone two", "d")
    documents = [document("a", "one  two\n"), document("b", "one two"), document("c", " ")]
    kept, rows = _remove_exact([*documents, marked])
    assert [d.path for d in kept] == ["a", "c"]
    assert {id: row[:3:2] for id, row in rows.items()} == {
        one.id: ("exact duplicate", f"{documents[0].id} is kept") for one in (documents[1], marked)
    }


def test_a_thousand_copies_cost_no_square_and_all_but_one_go():
    copies = [document(f"{n:04}", f"{text(9, 40)} tail{n % 3}") for n in range(1_100)]
    assert [d.path for d in _remove_near(copies, [], CONFIG)[0]] == ["0000"]


def test_without_a_compiler_the_same_goes(tmp_path, monkeypatch):
    compiled = make(family(6), tmp_path / "compiled")
    monkeypatch.setattr(sketch, sketch._sketch_library.__name__, lambda: None)
    assert make(family(6), tmp_path / "numpy").id == compiled.id


def test_a_document_that_repeats_a_held_out_one_inside_itself_is_not_trained_on(folder, tmp_path):
    first = corpus(CONFIG, folder, tmp_path / "first")
    page = next(read_split(first, "test"))
    (folder / "book.txt").write_text(f"{text(98, 400)} {page.text} {text(99, 400)}")
    config = CONFIG.model_copy(update={"held_out_limit": 2_000})  # the book itself must train
    second = corpus(config, folder, tmp_path / "second")
    row = next(row for row in removed(second) if row["path"] == "book.txt")
    assert (row["reason"], row["of"]) == ("overlaps held-out", page.path)


def test_a_long_document_is_never_held_out(folder, tmp_path):
    shares = {"validation_share": 0.4, "test_share": 0.4}
    long = {"Größe/3.txt", "Größe/4.txt", "Größe/5.txt"}
    for path in long:
        (folder / path).write_text(text(len(path) + ord(path[6]), 400), encoding="utf-8")
    made = corpus(CorpusConfig(**shares, held_out_limit=1_000), folder, tmp_path / "out")
    assert long <= {d.path for d in read_split(made, "train")}
    free = corpus(CorpusConfig(**shares), folder, tmp_path / "free")
    assert long - {d.path for d in read_split(free, "train")}


def test_every_file_is_in_one_split_or_among_the_removed(folder, tmp_path):
    artifact = corpus(CONFIG, folder, tmp_path / "out")
    kept = [d.path for split in SPLITS for d in read_split(artifact, split)]
    gone = {row["path"]: row["reason"] for row in removed(artifact)}
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert sorted(kept + list(gone)) == files
    assert gone["latin.txt"] == "too short"
    assert gone["short.txt"] == "too short"
    assert gone["copy.txt"] == "exact duplicate"  # of Größe/0.txt, which comes first
    numbers = artifact.numbers
    assert sum(numbers["documents"].values()) == len(kept)
    assert sum(numbers["removed"].values()) == len(gone)
    sizes = sum(len(d.text.encode()) for s in SPLITS for d in read_split(artifact, s))
    assert sum(numbers["bytes"].values()) == sizes


def test_documents_come_back_with_their_quotes(folder, tmp_path):
    artifact = corpus(CONFIG, folder, tmp_path / "out")
    documents = {d.path: d for split in SPLITS for d in read_split(artifact, split)}
    page = documents["page.html"]
    start = page.text.index("page &")
    quote = page.quote(start, start + 6)
    file = (folder / "page.html").read_bytes()
    assert file[quote.start : quote.end] == b"page &amp;"
    assert [page.text[h.start : h.end] for h in page.headings] == ["Title"]


def test_the_order_of_documents_changes_no_byte(tmp_path):
    documents = [read_bytes(text(n // 2).encode(), f"{n}.txt") for n in range(40)]
    first = make(documents, tmp_path / "a")
    second = make(reversed(documents), tmp_path / "b")
    assert first.id == second.id


def test_a_changed_folder_is_another_corpus(folder, tmp_path):
    first = corpus(CONFIG, folder, tmp_path / "out")
    assert corpus(CONFIG, folder, tmp_path / "out").id == first.id
    (folder / "new.txt").write_text(text(77))
    with pytest.raises(ArtifactError, match="source_digest"):
        corpus(CONFIG, folder, tmp_path / "out")
    assert corpus(CONFIG, folder, tmp_path / "other").id != first.id


def test_a_folder_moved_gives_the_same_corpus(folder, tmp_path):
    first = corpus(CONFIG, folder, tmp_path / "a")
    moved = folder.rename(tmp_path / "elsewhere")
    assert corpus(CONFIG, moved, tmp_path / "b").id == first.id


def test_a_folder_is_read_as_it_is_indexed_and_what_is_left_out_is_said(tmp_path, monkeypatch):
    root = tmp_path / "docs"
    root.mkdir()
    for number, name in enumerate(("a.yaml", "b.log", "c.csv", "d.rs", "e.md", "f.unknown")):
        (root / name).write_text(text(number + 50))
    for name in ("g.docx", "h.docx"):
        with zipfile.ZipFile(root / name, "w") as packed:
            packed.writestr("word/document.xml", f"{DOCX}{text(len(name) + ord(name[0]))}{END}")
    (root / "in.mbox").write_text("".join(
        f"From a@b.c Mon Jan  1 00:00:00 2024\nSubject: {n}\n\n{text(n)}\n\n" for n in (90, 91)
    ))  # fmt: skip
    with zipfile.ZipFile(root / "more.zip", "w") as packed:
        packed.writestr("inner.txt", text(95))
    (root / ".env").write_text("SECRET=1")
    (root / "pic.png").write_bytes(b"\x89PNG")
    said: list[str] = []
    monkeypatch.setattr(record, "log", said.append)
    made = corpus(CorpusConfig(), root, tmp_path / "out")
    kept = {d.path for split in SPLITS for d in read_split(made, split)}
    left_out = {".env": "hidden", "more.zip": "archive", "pic.png": "another kind of file"}
    assert {one["path"]: one["reason"] for one in removed(made)} == left_out
    read = {one.path for one in read_folder(root) if isinstance(one, Record)}
    assert kept == read and {"f.unknown", "g.docx", "in.mbox#36"} <= kept
    left_out = "1 hidden (.env); 1 archive (.zip); 1 another kind of file (.png)"
    assert f"left out: {left_out}" in said and not any("dropped" in line for line in said)
    archives = CorpusConfig.model_validate({"read": {"archives": True}})
    more = corpus(archives, root, tmp_path / "more")
    assert "more.zip#inner.txt" in {d.path for split in SPLITS for d in read_split(more, split)}
    with pytest.raises(ArtifactError, match="source_digest"):
        corpus(archives, root, tmp_path / "out")


def test_an_empty_source_tells_what_was_found(tmp_path):
    root = tmp_path / "docs"
    root.mkdir()
    with pytest.raises(DataError, match="has no files to read"):
        corpus(CONFIG, root, tmp_path / "out")
    (root / "a.bin").write_bytes(b"\0")
    (root / "b.txt").write_bytes(b"\0\0")
    (root / "c.txt").write_bytes(b"")
    with pytest.raises(DataError, match="None of the source's 3 files can be used: .*1 binary"):
        corpus(CONFIG, root, tmp_path / "out")
    with pytest.raises(DataError, match="missing"):
        corpus(CONFIG, tmp_path / "nowhere", tmp_path / "out")


def test_one_document_is_for_training(tmp_path):
    artifact = make([read_bytes(text(1).encode(), "a.txt")], tmp_path / "out")
    assert artifact.numbers["documents"] == {"train": 1, "validation": 0, "test": 0}
    assert list(read_split(artifact, "test")) == []


def test_a_corpus_of_near_duplicates_alone_says_that_none_is_left(tmp_path):
    documents = [read_bytes((text(1) + f" {n}").encode(), f"{n}.txt") for n in range(5)]
    with pytest.raises(DataError, match="No document is left to train on"):
        make(documents, tmp_path / "out")
    config = CONFIG.model_copy(update={"near_duplicate_threshold": 0.0})
    assert sum(make(documents, tmp_path / "all", config).numbers["documents"].values()) == 5


def test_two_documents_of_one_path_are_refused(tmp_path):
    documents = [read_bytes(text(n).encode(), "same.txt") for n in range(2)]
    with pytest.raises(DataError, match=r"Two documents have the path same\.txt"):
        make(documents, tmp_path / "out")


def test_a_corpus_of_the_last_format_opens_and_its_damaged_line_is_named(tmp_path):
    documents = [read_bytes(text(n).encode(), f"{n}.txt") for n in range(3)]

    def write(draft, end=""):
        lines = "".join(one.to_json() + "\n" for one in documents)
        write_text(draft.file("train.jsonl"), lines + end)

    def old(name, **more):
        return produce(tmp_path / name, kind="corpus", stage="corpus", version=3, config=CONFIG,
                       parents={}, write=lambda draft: write(draft, **more))  # fmt: skip

    assert list(read_split(old("old"), "train")) == documents
    with pytest.raises(ConfigError, match="train, validation, test; got 'dev'"):
        read_split(old("old"), "dev")
    with pytest.raises(DataError, match=r"train\.jsonl, line 4: A line is not a document"):
        list(read_split(old("damaged", end='{"id": '), "train"))
    with pytest.raises(ConfigError, match="has no log of its steps"):
        report.report(old("old"))


def test_what_went_is_explained_as_for_any_corpus(folder, tmp_path):
    made = corpus(CONFIG, folder, tmp_path / "out")
    page = report.report(made)
    kept = sum(made.numbers["documents"].values())
    assert (page.documents_in, page.documents) == (len(list(folder.rglob("*.*"))), kept)
    assert {one.reason for one in page.reasons} == {row["reason"] for row in removed(made)}
    assert f"{SOURCE}/Größe/0.txt" in str(why.why(made, "copy.txt"))
    less = withdraw.withdraw(
        withdraw.WithdrawConfig(documents=("page.html",)), made, tmp_path / "less"
    )
    assert len(less.records) == 1
    left = Artifact.open(tmp_path / "less", "corpus")
    assert "page.html" not in {d.path for split in SPLITS for d in read_split(left, split)}


def test_settings_that_cannot_work_are_refused(folder):
    with pytest.raises(ConfigError, match="is inside the source"):
        corpus(CONFIG, folder, folder / "out")
    with pytest.raises(ConfigError, match="suffixes"):
        CorpusConfig(suffixes=("md",))
    with pytest.raises(ConfigError, match="min_chars"):
        CorpusConfig(min_chars=0)


def test_chosen_endings_alone_are_read(folder, tmp_path):
    (folder / "READ.CFG").write_text(text(99))
    artifact = corpus(CorpusConfig(suffixes=(".cfg", ".html")), folder, tmp_path / "out")
    paths = [d.path for split in SPLITS for d in read_split(artifact, split)]
    assert sorted(paths) == ["READ.CFG", "page.html"]


def test_a_file_that_changes_between_its_hash_and_its_reading_is_refused(tmp_path):
    def read(hashes):
        return list(read_folder(tmp_path, fingerprints=dict(hashes)))

    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"What {name} says at first.")
    hashes = list(fingerprint_folder(tmp_path))
    assert len(read(hashes)) == 2
    (tmp_path / "b.txt").write_text("What b.txt says later.")
    with pytest.raises(DataError, match=r"b\.txt changed"):
        read(hashes)
    (tmp_path / "b.txt").unlink()
    with pytest.raises(DataError, match=r"b\.txt changed"):
        read(hashes)
    (tmp_path / "c.txt").write_text("New.")
    with pytest.raises(DataError, match=r"c\.txt changed"):
        read(hashes)
