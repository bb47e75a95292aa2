"""Artifacts that hold next to nothing, for tests that need one of a kind."""

from pathlib import Path

from groundup.core import Artifact, Config, Draft, Kind, produce, write_text


class Nothing(Config):
    """No settings."""


def artifact(out: Path, kind: Kind = "report") -> Artifact:
    """An artifact of a kind with one file of four letters."""

    def write(draft: Draft) -> None:
        write_text(draft.file("a.txt"), "text")
        draft.numbers |= {"share": 0.51234, "name": "x", "nested": {"a": 1}}

    return produce(
        out, kind=kind, stage="test", version=1, config=Nothing(), parents={}, write=write
    )
