"""Releases: labels such as `production` that point to a bundle, with rollback.

    RELEASES/LABEL.jsonl   the label's ledger: which bundle, on which verdict, by whom and why

A bundle is a subject (a model, or an index alone) with an optional adapter, index and prompts. A
label moves by compare-and-swap: of two concurrent releases one succeeds and the other gets an
error. A rollback restores an earlier bundle exactly and is recorded too. Paths are relative to the
releases' folder, so that both can be moved together.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    ConfigError,
    GateFailed,
    GateUndecided,
    Ledger,
    LedgerEntry,
    Parent,
    Pointer,
    artifact_paths,
    digest,
    find_nearby_artifacts,
    open_current,
    record,
    user_name,
)

from .verdict import read_verdict

RELEASES = Path("releases")
RELEASABLE = ("model", "adapter", "index", "prompts", "vectors")


class BundlePart(NamedTuple):
    """One artifact of a bundle."""

    name: str
    """Its role: subject, adapter, index or prompt."""
    kind: str
    path: str
    """Relative to the releases' folder."""
    id: str


class LabelMove(NamedTuple):
    """One move of a label."""

    label: str
    how: Literal["release", "rollback"]
    bundle: str
    """Hash of the parts' names and ids."""
    parts: tuple[BundlePart, ...]
    share: float
    """Share of requests that it should serve, 0 to 1."""
    verdict: dict[str, Any]
    """Path, id, and whether it passed."""
    accepted_rejected: bool
    """Whether it was released although the verdict did not pass."""
    author: str
    reason: str
    when: str

    @property
    def verdict_phrase(self) -> str:
        """Its verdict in words: `a failed verdict`, `an undecided verdict`."""
        outcome = self.verdict.get("outcome") or ("passed" if self.verdict["passed"] else "failed")
        return f"an {outcome} verdict" if outcome == "undecided" else f"a {outcome} verdict"

    def __str__(self) -> str:
        """`2026-01-31T12:00:00Z  release a1b2c3d4e5f6 100 % by ana: better at dates`."""
        against = f", against {self.verdict_phrase}" if self.accepted_rejected else ""
        return (
            f"{self.when}  {self.how} {self.bundle[:12]} {100 * self.share:g} % "
            f"by {self.author}{against}: {self.reason}"
        )


class Bundle(NamedTuple):
    """The bundle that a label points to, verified against what was released."""

    label: str
    id: str
    share: float
    artifacts: dict[str, Artifact]
    """Artifacts by their role."""
    last_move: LabelMove


class LabelHistory(NamedTuple):
    """Every move of a label, oldest first, and missing parts of its current bundle."""

    label: str
    lines: tuple[LabelMove, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        """Its current bundle, then its moves, newest first."""
        if not self.lines:
            return f"{self.label}  nothing yet"
        now = self.lines[-1]
        width = max(len(part.name) for part in now.parts)
        rows = [f"{self.label}  {now.bundle[:12]}  {100 * now.share:g} %"]
        rows += [f"  {p.name:<{width}}  {p.kind} {p.id[:12]}  {p.path}" for p in now.parts]
        rows += [f"  MISSING  {what}" for what in self.missing]
        return "\n".join([*rows, *(f"  {line}" for line in reversed(self.lines))])


class ReleaseLabels(NamedTuple):
    """All labels of a releases folder."""

    labels: tuple[LabelHistory, ...]

    def __str__(self) -> str:
        """The histories, separated by blank lines."""
        return "\n\n".join(map(str, self.labels)) or "Nothing is released here."


def release(
    subject: Path | None = None, *, adapter: Path | None = None, index: Path | None = None,
    prompt: Path | None = None, as_: str = "", verdict: Path | None = None, reason: str = "",
    author: str = "", share: str = "100%", expect: str = "", accept_rejected: bool = False,
    rollback: str = "", to: str = "", releases: Path = RELEASES,
) -> LabelMove | ReleaseLabels:  # fmt: skip
    """Move a label to a bundle on a verdict, or back; without arguments, list the labels.

    subject          a model, or an index that answers alone
    adapter          released with it
    index            released with it; an index's folder stands for its current snapshot
    prompt           released with it
    as_              the label, such as production or candidate
    verdict          directory of the verdict on the subject
    reason           why, for readers of the history
    author           who; default: the user's name on this machine
    share            share of requests that it should serve, such as 10%
    expect           id of the bundle that the label must hold now, or none
    accept_rejected  release against a verdict that failed or is undecided, which is recorded
    rollback         a label to move back to the bundle before
    to               id of the bundle to move back to instead
    releases         folder of the labels' ledgers
    """
    author = author or user_name()
    if rollback:
        if subject is not None or as_ or verdict is not None:
            raise ConfigError("--rollback LABEL takes a --reason and --to ID, and no bundle.")
        return roll_back_label(rollback, to, author=author, reason=reason, releases=releases)
    if subject is None:
        if as_ or verdict is not None or to:
            raise ConfigError("Expected what to release: `groundup release SUBJECT --as LABEL …`.")
        return ReleaseLabels(
            tuple(release_history(label, releases) for label in release_labels(releases))
        )
    if verdict is None:
        make = "make one with `groundup gate REPORT --against BASELINE --out VERDICT`"
        raise ConfigError(f"A label moves on a verdict; {make} and give it as --verdict.")
    paths = {"subject": subject, "adapter": adapter, "index": index, "prompt": prompt}
    bundle = {name: path for name, path in paths.items() if path is not None}
    return move_label_to_bundle(
        as_, bundle, verdict, author=author, reason=reason, share=_parse_share(share),
        expect=expect, accept_rejected=accept_rejected, releases=releases,
    )  # fmt: skip


def move_label_to_bundle(
    label: str, bundle: dict[str, Path], verdict: Path, *, author: str, reason: str,
    share: float = 1.0, expect: str = "", accept_rejected: bool = False, releases: Path = RELEASES,
) -> LabelMove:  # fmt: skip
    """Verify the hashes of a bundle's files and move the label to it.

    bundle  the parts' paths by role; includes `subject`, which the verdict is about

    Raises ConfigError without a subject; GateFailed if the verdict did not pass and that was not
    accepted; ArtifactError if a part or the verdict's test set was edited, the verdict is about
    something else or compares with an outdated bundle, or the label was moved concurrently.
    """
    if "subject" not in bundle:
        names = ", ".join(bundle) or "nothing"
        raise ConfigError(f"A bundle needs a subject, a model or an index; got {names}.")
    pointer = _label_pointer(label, releases)
    seen = pointer.value
    _check_expected_bundle(label, seen, expect)
    artifacts = {name: _verify_hashes(open_current(path)) for name, path in bundle.items()}
    for name, artifact in artifacts.items():
        if artifact.kind not in RELEASABLE:
            expected = f"a bundle's {name} is one of {', '.join(RELEASABLE)}"
            raise ArtifactError(f"{artifact.path} is a {artifact.kind}; {expected}.")
    source = _verify_hashes(Artifact.open(verdict, "verdict"))
    _check_verdict(source, artifacts["subject"], accept_rejected)
    _check_baseline_is_current(source, label, pointer.history())
    for name, artifact in artifacts.items():
        if artifact.id not in _judged_ids(source, "subject"):
            record.log(f"The verdict says nothing of the {name} {artifact.id[:12]} by itself.")
    result = read_verdict(source)
    about = {"passed": result.passed, "outcome": result.outcome}
    parts = [
        BundlePart(name, each.kind, _relative_to_releases(each.path, releases), each.id)._asdict()
        for name, each in sorted(artifacts.items())
    ]
    value = {
        "how": "release",
        "parts": parts,
        "share": share,
        "verdict": {"path": _relative_to_releases(source.path, releases), "id": source.id, **about},
        "accepted_rejected": not result.passed,
    }
    return _move_label(pointer, label, seen, value, author=author, reason=reason)


def roll_back_label(
    label: str, to: str = "", *, author: str, reason: str, releases: Path = RELEASES
) -> LabelMove:
    """Move a label back to its previous bundle, or to the one with this id.

    Raises ConfigError if there is none, ArtifactError if a part of it is missing or was edited.
    """
    pointer = _label_pointer(label, releases)
    lines = _label_moves(label, pointer)
    if not lines:
        raise ConfigError(f"Nothing was released as {label} in {releases}.")
    now = lines[-1].bundle
    start = max(i for i, each in enumerate(lines) if (each.how, each.bundle) == ("release", now))
    earlier = [i for i, each in enumerate(lines[:start]) if each.bundle != now]
    if to:
        earlier = [i for i, each in enumerate(lines) if _matches_id_prefix(to, each.bundle)]
    if not earlier or lines[earlier[-1]].bundle == now:
        names = ", ".join(dict.fromkeys(each.bundle[:12] for each in lines))
        what = f"no other bundle {to}" if to else "no earlier bundle"
        raise ConfigError(f"{label} has {what} to go back to; it held {names} (see --to).")
    old = pointer.history()[earlier[-1]].content["value"]
    for part in lines[earlier[-1]].parts:
        _verify_hashes(_open_bundle_part(part, label, releases))
    back = old | {"how": "rollback"}
    return _move_label(pointer, label, pointer.value, back, author=author, reason=reason)


def resolve_label(
    label: str, releases: Path = RELEASES, *, accept_rejected: bool = False, rehash: bool = False
) -> Bundle:
    """Open the bundle that a label points to.

    rehash  verify every file's hash; else sizes only, and hashes up to 256 MiB

    Raises ConfigError if nothing was released under that name, ArtifactError if the files differ
    from what was released, GateFailed if it was released against a verdict that did not pass.
    """
    lines = _label_moves(label, _label_pointer(label, releases))
    if not lines:
        known = ", ".join(release_labels(releases)) or "none"
        raise ConfigError(f"Nothing is released as {label} in {releases}; it has {known}.")
    line = lines[-1]
    if line.accepted_rejected and not accept_rejected:
        against = f"{label} was released by {line.author} against {line.verdict_phrase}"
        raise GateFailed(f"{against} ({line.reason}); use --accept-rejected to build on it.")
    artifacts = {part.name: _open_bundle_part(part, label, releases) for part in line.parts}
    if rehash:
        artifacts = {name: _verify_hashes(artifact) for name, artifact in artifacts.items()}
    return Bundle(label, line.bundle, line.share, artifacts, line)


def check_not_rejected(path: Path, *, accept_rejected: bool = False) -> dict[str, Any]:
    """Refuse an artifact whose newest verdict nearby failed; what is no artifact has none.

    A rejected one that is accepted is recorded in its ledger; that entry is returned.

    Raises GateFailed naming the verdict and the checks that failed.
    """
    for home in artifact_paths(Path(path)):
        subject = Artifact.open(home)
        verdicts = [each for each in find_nearby_artifacts(path) if _judges(each, subject)]
        newest = max(verdicts, key=lambda it: (it.path / MANIFEST).stat().st_mtime, default=None)
        if newest is None or (result := read_verdict(_verify_hashes(newest))).outcome != "failed":
            continue
        failed = ", ".join(row["name"] for row in result.rows("failed"))
        if not accept_rejected:
            what = f"{path} was rejected: {newest.path} has failed ({failed})"
            raise GateFailed(f"{what}; use another, or --accept-rejected, which is recorded.")
        record.log(f"{path} is used though {newest.path} has failed ({failed}).")
        ledger = Ledger(subject.path / "ledger" / "accepted.jsonl")
        entry = {"verdict": newest.id, "failed": failed, "author": user_name()}
        return ledger.append(entry).content
    return {}


def _judges(verdict: Artifact, subject: Artifact) -> bool:
    with contextlib.suppress(ArtifactError):  # a verdict on what has been replaced since
        return verdict.kind == "verdict" and subject.id in _judged_ids(verdict, "subject")
    return False


def release_labels(releases: Path) -> list[str]:
    """Names of the labels in a releases folder."""
    return sorted(path.stem for path in Path(releases).glob("*.jsonl"))


def release_history(label: str, releases: Path = RELEASES) -> LabelHistory:
    """Every move of a label, and missing parts of its current bundle."""
    lines = tuple(_label_moves(label, _label_pointer(label, releases)))
    missing = []
    for part in lines[-1].parts if lines else ():
        try:
            _open_bundle_part(part, label, releases)
        except ArtifactError as error:
            missing.append(str(error))
    return LabelHistory(label, lines, tuple(missing))


def _label_moves(label: str, pointer: Pointer) -> list[LabelMove]:
    return [_entry_to_move(label, entry) for entry in pointer.history()]


def _entry_to_move(label: str, entry: LedgerEntry) -> LabelMove:
    value = entry.content["value"]
    parts = tuple(BundlePart(**part) for part in value["parts"])
    return LabelMove(
        label, value["how"], _bundle_id(parts), parts, value["share"], value["verdict"],
        value["accepted_rejected"], entry.content["author"], entry.content["reason"], entry.when,
    )  # fmt: skip


def _move_label(
    pointer: Pointer, label: str, seen: Any, value: dict[str, Any], *, author: str, reason: str
) -> LabelMove:
    if not reason.strip():
        raise ConfigError("A release needs a --reason: one line for whoever reads the history.")
    try:
        pointer.move(seen, value, author=author, reason=" ".join(reason.split()))
    except ArtifactError:
        if pointer.value == seen:
            raise
        other = _label_moves(label, pointer)[-1]
        moved = f"{label} moved to {other.bundle[:12]} by {other.author} at {other.when} meanwhile"
        raise ArtifactError(f"{moved} ({other.reason}); look at it and decide again.") from None
    return _label_moves(label, pointer)[-1]


def _label_pointer(label: str, releases: Path) -> Pointer:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", label):
        raise ConfigError(f"The label {label!r} (--as) must be a plain name, such as candidate-2.")
    return Pointer(Path(releases) / f"{label}.jsonl")


def _check_expected_bundle(label: str, seen: Any, expect: str) -> None:
    now = _bundle_id(tuple(BundlePart(**part) for part in seen["parts"])) if seen else "none"
    if expect and not (expect == now or _matches_id_prefix(expect, now)):
        what = f"{label} was expected to hold {expect} and holds {now[:12]}"
        raise ArtifactError(f"{what}; look at it (`groundup release`) and decide again.")


def _matches_id_prefix(prefix: str, full_id: str) -> bool:
    """Whether a prefix of at least six characters matches an id."""
    return len(prefix) >= 6 and full_id.startswith(prefix)


def _check_verdict(verdict: Artifact, subject: Artifact, accept_rejected: bool) -> None:
    """Raise unless a verdict is about the subject, its test set is intact, and it passed."""
    if subject.id not in _judged_ids(verdict, "subject"):
        about = ", ".join(sorted(id[:12] for id in _judged_ids(verdict, "subject"))) or "nothing"
        other = f"{subject.path} is {subject.id[:12]}; evaluate and gate this one"
        raise ArtifactError(f"{verdict.path} judges {about}, and {other}.")
    for parent in verdict.parents:
        if parent.name != "testset":
            continue
        if testset := _open_unmoved_parent(verdict, parent):
            _verify_hashes(testset)
        else:
            record.log(f"The verdict's test set {parent.id[:12]} is not here to be checked.")
    result = read_verdict(verdict)
    if not result.passed and not accept_rejected:
        is_undecided = result.outcome == "undecided"
        names = ", ".join(row["name"] for row in result.rows(result.outcome))
        raise (GateUndecided if is_undecided else GateFailed)(
            f"{verdict.path} {'is undecided' if is_undecided else 'has failed'}: {names}; a label "
            "moves on a verdict that passed, or with --accept-rejected, which is recorded."
        )


def _check_baseline_is_current(verdict: Artifact, label: str, entries: list[LedgerEntry]) -> None:
    """Raise if the verdict compares with an earlier bundle of the label."""
    compared = _judged_ids(verdict, "baseline")
    bundles = [{part.id for part in _entry_to_move(label, entry).parts} for entry in entries]
    if any(compared & ids for ids in bundles) and not compared & bundles[-1]:
        before = f"it compares with what {label} held before"
        raise ArtifactError(f"{verdict.path} is stale: {before}; gate against what it holds now.")


def _judged_ids(verdict: Artifact, name: str) -> set[str]:
    """Ids of a verdict's subject or baseline, and of the inputs if it is a report."""
    ids = set()
    for parent in verdict.parents:
        if parent.name == name:
            ids.add(parent.id)
            artifact = _open_unmoved_parent(verdict, parent)
            if artifact is not None and artifact.kind == "report":
                ids |= {each.id for each in artifact.parents if each.name != "testset"}
    return ids


def _open_unmoved_parent(child: Artifact, parent: Parent) -> Artifact | None:
    """Open an input, None if missing; ArtifactError if it was edited or replaced."""
    artifact = child.open_parent(parent)
    path = (child.path / parent.path).resolve()
    if artifact is None and (path / MANIFEST).is_file():
        what = f"{child.path} was made from {parent.name} {parent.id[:12]}, and another one is at"
        raise ArtifactError(f"{what} {path} now; restore the old one, or make {child.path} again.")
    return artifact


def _open_bundle_part(part: BundlePart, label: str, releases: Path) -> Artifact:
    """Open a part of a bundle; ArtifactError if it is missing, was edited or was replaced."""
    path = Path(os.path.normpath(Path(releases) / part.path))
    if not (path / MANIFEST).is_file():
        what = f"{label}'s {part.name} {part.id[:12]} is not at {path} any more"
        raise ArtifactError(f"{what}: it was moved or erased; restore it, or release another.")
    artifact = Artifact.open(path)
    if artifact.id != part.id:
        what = f"{label}'s {part.name} was released as {part.id[:12]}, and {path} is"
        advice = "restore the old one, or release this one"
        raise ArtifactError(f"{what} {artifact.id[:12]} now; {advice}.")
    return artifact


def _verify_hashes(artifact: Artifact) -> Artifact:
    artifact.check_hashes()
    return artifact


def _relative_to_releases(path: Path, releases: Path) -> str:
    return os.path.relpath(Path(path).resolve(), Path(releases).resolve())


def _bundle_id(parts: tuple[BundlePart, ...]) -> str:
    return digest([[part.name, part.id] for part in parts])


def _parse_share(text: str) -> float:
    """Parse a share given as a percentage or a fraction.

    >>> _parse_share("10%"), _parse_share("0.25")
    (0.1, 0.25)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < share <= 1:
        raise ConfigError(f"--share {text!r} must be above 0 and at most 100%, such as 10%.")
    return share
