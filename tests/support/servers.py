"""Real servers in processes of their own, for tests and benches."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTED = re.compile(r"serving on \S+:(\d+)")
START_SECONDS = 20


class Server:
    """A server process on a free port of the loopback interface.

    Attributes:
        data: its data directory.
        target: `host:port` while it runs.
    """

    def __init__(self, data: Path, **environment: str) -> None:
        """The environment's names are settings without `SAMEAS_`, in capitals."""
        self.data = data
        self.target = ""
        self._environment = {f"SAMEAS_{key}": value for key, value in environment.items()}
        self._log = data.parent / f"{data.name}.log"

    def start(self, *prefix: str) -> "Server":
        """Starts it, and waits until it listens; `prefix` is a command to run it under."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SAMEAS_")}
        with self._log.open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "sameas_service", "serve",
                 "--data", str(self.data), "--port", "0"],
                stdout=log, stderr=subprocess.STDOUT, env=kept | self._environment,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            match = STARTED.search(self.log()[begin:])
            if match:
                self.target = f"127.0.0.1:{match[1]}"
                return self
            time.sleep(0.01)
        raise AssertionError(f"the server did not start:\n{self.log()[begin:]}")

    def log(self) -> str:
        """What it printed, over all its starts."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def running(**environment: str) -> Iterator[Server]:
    """A server on an empty data directory, stopped at the end."""
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory) / "data", **environment).start()
        try:
            yield server
        finally:
            server.stop()
