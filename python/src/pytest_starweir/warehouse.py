"""A warehouse as a child process: started, asked, stopped."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import Any, IO
from uuid import uuid4

#: Seconds until a warehouse has to answer, and until it has to be gone.
START_SECONDS = 30
STOP_SECONDS = 10


class SqlError(Exception):
    """A statement was refused; the text is the server's."""


def find_binary(binary: str | None = None) -> str:
    """The binary that was named, else STARWEIR_BINARY, else the one on the PATH."""
    wanted = binary or os.environ.get("STARWEIR_BINARY") or "starweir"
    found = shutil.which(wanted)
    if found is None:
        raise FileNotFoundError(
            f"the binary {wanted!r} is not there; name it by --starweir-binary or STARWEIR_BINARY"
        )
    return found


class Warehouse:
    """A running warehouse that keeps nothing. Use it with `with`, or call `stop`."""

    user = "root"
    password = ""

    def __init__(self, binary: str, process: subprocess.Popen[str], errors: IO[str], ready: str) -> None:
        self.binary = binary
        self._process = process
        self._errors = errors
        places = dict(re.findall(r"(\w+)=(\S+)", ready))
        self.host, port = places["mysql"].rsplit(":", 1)
        self.mysql_port = int(port)
        self.http_port = int(places["http"].rsplit(":", 1)[1])
        self.be_port = int(places["be"].rsplit(":", 1)[1])

    @classmethod
    def start(cls, binary: str | None = None, *arguments: str) -> Warehouse:
        """Starts one on free ports. `arguments` go to `starweir warehouse`."""
        path = find_binary(binary)
        command = [path, "warehouse", "--ephemeral"]
        for port in ("--mysql-port", "--http-port", "--be-port"):
            command += [port, "0"]
        errors = tempfile.TemporaryFile("w+")
        process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        # Reading has no time limit of its own.
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=lambda out: lines.put(out.readline()), args=(process.stdout,), daemon=True).start()
        try:
            line = lines.get(timeout=START_SECONDS)
        except queue.Empty:
            line = ""
        if not line.startswith("ready "):
            process.kill()
            process.wait()
            errors.seek(0)
            raise RuntimeError(f"the warehouse did not start: {errors.read().strip()}")
        return cls(path, process, errors, line)

    @property
    def load_url(self) -> str:
        """Where Stream Loads and transactions go: the FE's HTTP port."""
        return f"{self.host}:{self.http_port}"

    @property
    def jdbc_url(self) -> str:
        return f"jdbc:mysql://{self.host}:{self.mysql_port}"

    def url(self, database: str = "", dialect: str = "starrocks") -> str:
        """The SQLAlchemy URL."""
        return f"{dialect}://{self.user}@{self.host}:{self.mysql_port}/{database}"

    def sql(self, statements: str, database: str | None = None) -> list[dict[str, Any]]:
        """Runs statements by `starweir sql` and gives their rows. DECIMALs are floats here, dates are texts."""
        command = [self.binary, "sql", "--json", "--quiet", f"--host={self.host}", f"--port={self.mysql_port}"]
        if database is not None:
            command.append(f"--database={database}")
        done = subprocess.run(command, input=statements, capture_output=True, text=True)
        if done.returncode != 0:
            raise SqlError(done.stderr.strip())
        return [json.loads(line) for line in done.stdout.splitlines()]

    def create_database(self) -> Database:
        """An empty database under a name nobody else has."""
        name = f"test_{uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name}")
        return Database(self, name)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends the process and waits for it. Stopping twice is fine."""
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True)
class Database:
    """A database of a warehouse."""

    warehouse: Warehouse
    name: str

    @property
    def url(self) -> str:
        """The SQLAlchemy URL."""
        return self.warehouse.url(self.name)

    def sql(self, statements: str) -> list[dict[str, Any]]:
        """Runs statements in it and gives their rows."""
        return self.warehouse.sql(statements, self.name)

    def drop(self) -> None:
        self.warehouse.sql(f"DROP DATABASE IF EXISTS {self.name} FORCE")
