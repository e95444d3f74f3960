"""Faults of the disk, put by strace into the system calls of a real server."""

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from support.servers import Server

SEED = int(os.environ.get("SAMEAS_TEST_SEED") or 20_261_121)
"""Of everything random in the tests of faults; printed where one fails."""

EIO, ENOSPC, SIGKILL = "error=EIO", "error=ENOSPC", "signal=SIGKILL"
"""What may happen to a call; the last ends the process before the call is done."""

DATABASE, LOG, INDEX = "sameas.db", "sameas.db-wal", "sameas.db-shm"
FILES = (DATABASE, LOG, INDEX)
SYNCS = ("fdatasync", "fsync")
EXIT_SECONDS = 10

_CALL = re.compile(r"(\d+) +(\d+\.\d+) (\w+)\(")
_RESUMED = re.compile(r"(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>")
_FILE = re.compile(r"sameas\.db(?:-wal|-shm)?")


def _is_usable() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "--seccomp-bpf", "-f", "-qq", "-e", "trace=fsync", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_strace = pytest.mark.skipif(
    not _is_usable(),
    reason="NO DISK FAULT WAS TRIED: strace 5.3 or later is missing or may not trace; "
    "apt-get install strace (in a container also --cap-add=SYS_PTRACE)",
)


class Fault(NamedTuple):
    """What happens at the n-th call that a thread makes on the traced files.

    Attributes:
        syscall: its name.
        effect: EIO, ENOSPC or SIGKILL.
        first: the first call that is hit, from 1, counted in each thread.
        last: the last one; None where the fault stays.
        files: where it happens, as names in the data directory.
    """

    syscall: str
    effect: str
    first: int
    last: int | None = None
    files: tuple[str, ...] = FILES

    @property
    def is_fatal(self) -> bool:
        """Whether a server must end by it: an fsync that fails, or a write not for lack of room."""
        return self.effect == EIO if self.syscall == "pwrite64" else self.syscall in SYNCS

    @property
    def option(self) -> str:
        """Strace's words for it."""
        when = f"{self.first}+" if self.last is None else f"{self.first}..{self.last}"
        return f"inject={self.syscall}:{self.effect}:when={when}"


class Call(NamedTuple):
    """A system call on a file of the data directory, as strace saw it end.

    Attributes:
        at: when it was made, in seconds since 1970.
        syscall: its name.
        file: the file's name in the data directory.
        is_injected: whether the fault took the place of what it would have done.
    """

    at: float
    syscall: str
    file: str
    is_injected: bool


class FaultyServer(Server):
    """A server whose disk fails."""

    def __init__(self, data: Path, fault: Fault) -> None:
        super().__init__(data)
        self._fault = fault
        self._trace = data.parent / f"{data.name}.strace"

    def started(self) -> bool:
        """Starts it under strace; whether it got as far as to listen.

        Strace runs apart (-D), so that the process is the server itself, with its own exit code.
        """
        syscalls = {self._fault.syscall, *SYNCS}
        options = ["-e", f"trace={','.join(syscalls)}", "-e", self._fault.option]
        options += [part for file in self._fault.files for part in ("-P", str(self.data / file))]
        if self._fault.effect != SIGKILL:
            # Leaves all other calls alone, so that they are as fast as ever. Strace 6.1 does
            # not deliver signals with it.
            options.append("--seccomp-bpf")
        try:
            self.start("strace", "-D", "-f", "-q", "-y", "-ttt", "-o", str(self._trace), *options)
        except AssertionError:
            self.process.wait(EXIT_SECONDS)
            return False
        return True

    @property
    def fault_stays(self) -> bool:
        """Whether the disk will not recover."""
        return self._fault.last is None

    def must_end(self) -> bool:
        """Whether what cannot be lived with has happened."""
        return self._fault.is_fatal and "(INJECTED)" in self._trace.read_text(errors="replace")

    def calls(self) -> list[Call]:
        """The calls on the traced files up to the end of the process, or to SIGTERM."""
        found: list[Call] = []
        begun: dict[str, str] = {}
        for line in self._ended_trace().splitlines():
            if "--- SIGTERM" in line:
                break
            if match := _CALL.match(line):
                begun[match[1]] = _file_in(line)
            else:
                match = _RESUMED.match(line)
            if match and "<unfinished" not in line:
                is_injected = line.endswith("(INJECTED)")
                found.append(Call(float(match[2]), match[3], begun[match[1]], is_injected))
        return found

    def _ended_trace(self) -> str:
        """What strace wrote, once it has seen the process end."""
        end = re.compile(rf"^{self.process.pid} .*\+\+\+ ", re.MULTILINE)
        deadline = time.monotonic() + EXIT_SECONDS
        while time.monotonic() < deadline:
            text = self._trace.read_text(errors="replace")
            if end.search(text):
                return text
            time.sleep(0.01)
        raise AssertionError(f"strace did not see the end of the server: {self._trace}")


@contextmanager
def ended(server: Server) -> Iterator[None]:
    """A server that does not outlive the block, however that is left."""
    try:
        yield
    finally:
        server.process.kill()
        server.process.wait()


def _file_in(line: str) -> str:
    match = _FILE.search(line)
    return match[0] if match else ""


def chosen(seed: object, below: int, count: int) -> list[int]:
    """So many different numbers from 1 to below, small ones among them more often."""
    choose = random.Random(f"{SEED} {seed}")
    numbers = {1 + int(below * choose.random() ** 2) for _ in range(4 * count)}
    return sorted(choose.sample(sorted(numbers), min(count, len(numbers))))
