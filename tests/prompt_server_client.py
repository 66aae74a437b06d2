"""Starting tests/prompt_server.py, and reading what it was asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class ServerProcess:
    """A running server: its URL, what it is to do, and what it was asked."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self.process = folder, process
        deadline = time.monotonic() + 60
        while not (folder / "port").exists():
            assert process.poll() is None and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{(folder / 'port').read_text()}"

    @property
    def log(self) -> list[dict[str, Any]]:
        """The requests in order of arrival."""
        path = self.folder / "log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running_server(folder: Path, script: list[Any] | None = None) -> Iterator[ServerProcess]:
    """A server that follows a script (see prompt_server), killed at the end."""
    folder.mkdir(parents=True)
    (folder / "script.json").write_text(json.dumps(script or []))
    with subprocess.Popen([sys.executable, str(Path(__file__).with_name("prompt_server.py")), str(folder)]) as process:
        server = None
        try:
            server = ServerProcess(folder, process)
            yield server
        finally:
            process.kill()
