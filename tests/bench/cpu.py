"""CPU time of processes: the steady figure on a machine that others use too."""

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU, user and system, that a process has used in all its threads (Linux)."""
    # The command's name stands in brackets and may hold anything: read behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")
