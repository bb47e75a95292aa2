"""The probe finds a leak when there is one; bare, nearly everything leaks."""

import socket
import subprocess
import sys
from pathlib import Path

from groundup.core.sandbox import probe


def test_bare_it_finds_the_leaks_and_ends_its_children(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        command = [sys.executable, probe.__file__, str(file), port, "3"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for leak in ("reads a file", "reaches a port", "more than 3 processes", "sees processes"):
        assert leak in found
    assert "may gain privileges" in found and "no filter of system calls" in found
    assert probe._succeeds(file.stat) and not probe._succeeds((tmp_path / "no").stat)
