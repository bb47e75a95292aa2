"""A label moves on a verdict that holds, from the bundle its mover saw, and back exactly."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    GateFailed,
    Ledger,
    Pointer,
    Sample,
    produce,
)
from groundup.measure.gate import at_least, check_requirement
from groundup.measure.release import (
    _parse_share,
    check_not_rejected,
    move_label_to_bundle,
    release,
    release_labels,
    resolve_label,
    roll_back_label,
)
from groundup.measure.stats.interval import Interval
from groundup.measure.testset import TestSetCard, make_testset
from groundup.measure.verdict import write_verdict

GOOD, BAD = Interval(0.8, 0.7, 0.9, 0.95, 50, 40), Interval(0.3, 0.2, 0.4, 0.95, 50, 40)


class Named(Config):
    """Decides an artifact."""

    name: str


def make(out: Path, kind="model", **parents: Artifact) -> Artifact:
    def write(draft):
        draft.file("weights.bin").write_text(out.name)

    return produce(
        out, kind=kind, stage="test", version=1, config=Named(name=out.name), parents=parents,
        write=write,
    )  # fmt: skip


class House:
    """A folder with models, a test set and verdicts."""

    def __init__(self, root: Path) -> None:
        self.root, self.releases = root, root / "releases"
        self.testset = make_testset(TestSetCard(name="t"), [Sample("1", ())], {}, root / "testset")

    def model(self, name: str) -> Artifact:
        return make(self.root / name)

    def verdict(self, name: str, subject: Artifact, found=GOOD, **more) -> Path:
        rows = [check_requirement("right", found, at_least(0.5))]
        given = {"testset": self.testset} | more
        return write_verdict(rows, subject, out=self.root / name, **given).path

    def release(self, subject: Artifact, judged: Path | None = None, **more):
        judged = judged or self.verdict(f"verdict-{subject.path.name}", subject)
        given = {"reason": "better", "author": "ana", "as_": "production"} | more
        return release(subject.path, verdict=judged, releases=self.releases, **given)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


@pytest.mark.parametrize("bundle", [{}, {"adapter": Path("adapter")}])
def test_a_bundle_without_a_subject_is_refused(bundle, tmp_path):
    with pytest.raises(ConfigError, match="needs a subject"):
        move_label_to_bundle("p", bundle, tmp_path, author="a", reason="r", releases=tmp_path)


def test_a_label_stands_for_what_was_released(house):
    model, index = house.model("model"), make(house.root / "index", "index")
    line = house.release(model, index=index.path, share="10%")
    bundle = resolve_label("production", house.releases, rehash=True)
    assert (bundle.id, bundle.share, bundle.last_move) == (line.bundle, 0.1, line)
    found = {name: artifact.id for name, artifact in bundle.artifacts.items()}
    assert found == {"subject": model.id, "index": index.id}
    listed = str(release(releases=house.releases))
    assert "production" in listed and "10 %" in listed and "by ana: better" in listed
    assert release_labels(house.releases) == ["production"]


def test_an_index_stands_for_its_current_snapshot_and_stays_there(house):
    model, index = house.model("model"), house.root / "index"
    first = make(index / "snapshots" / "a", "index")
    pointer = Pointer(index / "ledger" / "current.jsonl")
    pointer.move(None, "a", author="test", reason="first")
    house.release(model, index=index)
    make(index / "snapshots" / "b", "index", before=first)
    pointer.move("a", "b", author="test", reason="second")
    assert resolve_label("production", house.releases).artifacts["index"].id == first.id


def test_without_a_verdict_nothing_moves(house):
    model = house.model("model")
    with pytest.raises(ConfigError, match="moves on a verdict"):
        release(model.path, as_="production", reason="x", releases=house.releases)
    with pytest.raises(ArtifactError, match="Expected a verdict artifact"):
        house.release(model, house.testset.path)
    assert release_labels(house.releases) == []


def test_a_failed_verdict_is_refused_unless_accepted_which_is_recorded(house):
    model = house.model("model")
    failed = house.verdict("failed", model, BAD)
    with pytest.raises(GateFailed, match="failed: right"):
        house.release(model, failed)
    line = house.release(model, failed, accept_rejected=True)
    assert line.accepted_rejected and "against a failed verdict" in str(line)
    with pytest.raises(GateFailed, match="against a failed verdict"):
        resolve_label("production", house.releases)
    assert resolve_label("production", house.releases, accept_rejected=True).id == line.bundle


def test_what_failed_its_newest_verdict_is_refused_unless_accepted(house):
    model, other = house.model("model"), house.model("other")
    assert check_not_rejected(model.path) == check_not_rejected(house.root / "none") == {}
    passed, failed = house.verdict("passed", model), house.verdict("failed", model, BAD)
    house.verdict("undecided", other, Interval(0.5, 0.4, 0.6, 0.95, 50, 40))
    os.utime(passed / "manifest.json", (1, 1))
    with pytest.raises(GateFailed, match=r"was rejected: .*failed has failed \(right\)"):
        check_not_rejected(model.path)
    accepted = check_not_rejected(model.path, accept_rejected=True)
    assert accepted["verdict"] == Artifact.open(failed).id
    [entry] = Ledger(model.path / "ledger" / "accepted.jsonl").read()
    assert entry.content == accepted and check_not_rejected(other.path) == {}
    os.utime(failed / "manifest.json", (0, 0))
    assert check_not_rejected(model.path) == {}


def test_an_index_is_refused_by_its_current_snapshot(house):
    index = house.root / "index"
    snapshot = make(index / "snapshots" / "a", "index")
    Pointer(index / "ledger" / "current.jsonl").move(None, "a", author="test", reason="first")
    house.verdict("failed", snapshot, BAD)
    with pytest.raises(GateFailed, match="was rejected"):
        check_not_rejected(index)


def test_accepting_what_has_passed_records_nothing_bad(house):
    assert not house.release(house.model("model"), accept_rejected=True).accepted_rejected


def test_a_verdict_on_another_artifact_is_refused(house):
    one, other = house.model("one"), house.model("other")
    with pytest.raises(ArtifactError, match=f"judges {one.id[:12]}, and .* is {other.id[:12]}"):
        house.release(other, house.verdict("v", one))


def test_a_verdict_on_a_report_speaks_of_what_the_report_scored(house):
    model, other = house.model("model"), house.model("other")
    report = make(house.root / "report", "report", model=model, testset=house.testset)
    found = house.verdict("v", report)
    assert house.release(model, found).bundle
    with pytest.raises(ArtifactError, match="judges"):
        house.release(other, found)


@pytest.mark.parametrize("where", ["model/weights.bin", "testset/samples.jsonl", "v/verdict.json"])
def test_what_was_edited_is_refused(house, where):
    model = house.model("model")
    found = house.verdict("v", model)
    path = house.root / where
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="edited"):
        house.release(model, found)
    assert release_labels(house.releases) == []


def test_a_verdict_on_a_test_set_made_anew_is_refused(house):
    model = house.model("model")
    found = house.verdict("v", model)
    shutil.rmtree(house.testset.path)
    make_testset(TestSetCard(name="t"), [Sample("2", ())], {}, house.testset.path)
    with pytest.raises(ArtifactError, match="was made from testset"):
        house.release(model, found)


def test_a_verdict_against_what_the_label_has_left_is_stale(house):
    a, b, c = (house.model(name) for name in "abc")
    untouched = house.model("untouched")
    house.release(a)
    against_a = house.verdict("c-a", c, baseline=a)
    house.release(b, house.verdict("b-a", b, baseline=a))
    with pytest.raises(ArtifactError, match="stale.*held before"):
        house.release(c, against_a)
    house.release(c, house.verdict("c-b", c, baseline=b))
    house.release(a, house.verdict("a-u", a, baseline=untouched))  # anybody's baseline stays one


def test_only_what_can_answer_is_released(house):
    with pytest.raises(ArtifactError, match="is a testset; a bundle's subject is one of"):
        house.release(house.testset, house.verdict("v", house.testset, testset=None))


def test_a_rollback_restores_exactly_and_is_a_line(house):
    a, b, c = (house.model(name) for name in "abc")
    lines = [house.release(each) for each in (a, b, c)]
    back = release(rollback="production", reason="c is slow", releases=house.releases)
    assert (back.how, back.bundle, back.parts) == ("rollback", lines[1].bundle, lines[1].parts)
    assert back.verdict == lines[1].verdict
    assert resolve_label("production", house.releases).artifacts["subject"].id == b.id
    again = roll_back_label("production", author="ben", reason="b too", releases=house.releases)
    assert again.bundle == lines[0].bundle
    with pytest.raises(ConfigError, match="no earlier bundle"):
        roll_back_label("production", author="ben", reason="a too", releases=house.releases)
    forward = roll_back_label(
        "production", lines[2].bundle[:8], author="ben", reason="c", releases=house.releases
    )
    assert forward.bundle == lines[2].bundle
    assert len(Pointer(house.releases / "production.jsonl").history()) == 6


def test_a_rollback_to_what_is_not_there_is_told(house):
    with pytest.raises(ConfigError, match="Nothing was released"):
        release(rollback="production", reason="x", releases=house.releases)
    a, b = house.model("a"), house.model("b")
    house.release(a)
    house.release(b)
    with pytest.raises(ConfigError, match="no other bundle 123456"):
        release(rollback="production", to="123456", reason="x", releases=house.releases)
    shutil.rmtree(a.path)
    with pytest.raises(ArtifactError, match="moved or erased"):
        release(rollback="production", reason="x", releases=house.releases)
    assert resolve_label("production", house.releases).artifacts["subject"].id == b.id


def test_what_was_erased_or_replaced_since_is_told(house):
    model = house.model("model")
    house.release(model)
    shutil.rmtree(model.path)
    with pytest.raises(ArtifactError, match="moved or erased"):
        resolve_label("production", house.releases)
    assert "MISSING" in str(release(releases=house.releases))
    shutil.copytree(house.model("other").path, model.path)
    with pytest.raises(ArtifactError, match="was released as"):
        resolve_label("production", house.releases)


def test_the_house_can_move_as_a_whole(house):
    house.release(house.model("model"))
    moved = house.root.with_name("moved")
    house.root.rename(moved)
    assert resolve_label("production", moved / "releases").artifacts["subject"].path.is_dir()


def test_of_two_releases_at_once_one_wins_and_the_other_is_told(house):
    models = [house.model(name) for name in ("a", "b", "c", "d")]
    found = [house.verdict(f"v{i}", model) for i, model in enumerate(models)]
    gate, told, won = threading.Barrier(4), [], []

    def go(i: int) -> None:
        gate.wait()
        try:
            won.append(house.release(models[i], found[i], expect="none"))
        except ArtifactError as error:
            told.append(str(error))

    threads = [threading.Thread(target=go, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(told) == 3
    assert all("meanwhile" in text or "expected to hold none" in text for text in told)
    assert resolve_label("production", house.releases).id == won[0].bundle


def test_a_mover_may_say_what_it_expects(house):
    a, b = house.model("a"), house.model("b")
    first = house.release(a, expect="none")
    with pytest.raises(ArtifactError, match="expected to hold 000000"):
        house.release(b, expect="000000")
    house.release(b, expect=first.bundle[:6])


@pytest.mark.parametrize("label", ["", "a/b", "../up", ".hidden", "x" * 70, "a b"])
def test_a_label_is_a_plain_name(house, label):
    with pytest.raises(ConfigError, match="plain name"):
        house.release(house.model("model"), as_=label)


@pytest.mark.parametrize("share", ["0%", "110%", "2", "-1", "ten", "", "nan"])
def test_a_share_is_a_share(house, share):
    with pytest.raises(ConfigError, match="--share"):
        _parse_share(share)


def test_a_release_has_a_reason_and_words_that_fit_together(house):
    model = house.model("model")
    with pytest.raises(ConfigError, match="--reason"):
        house.release(model, reason=" ")
    with pytest.raises(ConfigError, match="what to release"):
        release(as_="production", releases=house.releases)
    with pytest.raises(ConfigError, match="no bundle"):
        release(model.path, rollback="production", releases=house.releases)
    assert str(release(releases=house.releases)) == "Nothing is released here."
    with pytest.raises(ConfigError, match="it has none"):
        resolve_label("production", house.releases)


def test_an_edited_ledger_is_noticed(house):
    house.release(house.model("model"))
    path = house.releases / "production.jsonl"
    path.write_text(path.read_text().replace('"ana"', '"eve"'))
    with pytest.raises(ArtifactError, match="edited"):
        resolve_label("production", house.releases)


def test_a_release_is_plain_json_in_its_ledger(house):
    model = house.model("model")
    found = house.verdict("v", model)
    move_label_to_bundle(
        "candidate", {"subject": model.path}, found, author="ana", reason="a\nb",
        releases=house.releases,
    )  # fmt: skip
    (line,) = (house.releases / "candidate.jsonl").read_text().splitlines()
    content = json.loads(line)["content"]
    assert content["reason"] == "a b" and content["value"]["parts"][0]["path"] == "../model"


def test_a_label_whose_first_move_was_cut_short_holds_nothing_yet(tmp_path):
    (tmp_path / "production.jsonl").touch()
    assert "production  nothing yet" in str(release(releases=tmp_path))
