"""A PostgreSQL server of its own, in a folder that is removed, on a socket of this machine."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql/17/bin")
VECTOR = Path("/usr/share/postgresql/17/extension/vector.control")
MISSING = "needs apt-get install postgresql-17 postgresql-17-pgvector"
SETTINGS = "-c listen_addresses='' -c fsync=off -c shared_buffers=32MB -c max_connections=60"


def is_installed() -> bool:
    """Whether the server and pgvector are."""
    return (PROGRAMS / "initdb").is_file() and VECTOR.is_file()


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server; yield the URL of its database `postgres`, which has no extension."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    as_user = []
    if os.getuid() == 0:  # which PostgreSQL refuses
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *words: str) -> None:
        subprocess.run(
            [*as_user, str(PROGRAMS / program), "-D", str(folder / "data"), *words],
            check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    try:
        run("initdb", "--no-sync", "--auth=trust", "--username=tester", "--locale=C.UTF-8")
        run("pg_ctl", "--wait", "-l", str(folder / "log"), "-o", f"-k {folder} {SETTINGS}", "start")
        yield f"postgresql://tester@/postgres?host={folder}"
    finally:
        run("pg_ctl", "--mode=immediate", "stop")
        shutil.rmtree(folder)
