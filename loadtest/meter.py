"""CPU time and memory of a process and its children, read from Linux's ``/proc``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far.

    Attributes
    ----------
    cpu_seconds
        User and system time of all its threads, ended ones included, and of its living children.
        Linux counts in steps of 10 ms.
    resident_bytes, peak_resident_bytes
        Now, and the most since it started; summed over the process and its children.
    """

    cpu_seconds: float
    resident_bytes: int
    peak_resident_bytes: int

    def __add__(self, other: Usage) -> Usage:
        """Return what two processes have used together.

        Examples
        --------
        >>> Usage(1.0, 2, 3) + Usage(0.5, 1, 1)
        Usage(cpu_seconds=1.5, resident_bytes=3, peak_resident_bytes=4)
        """
        return Usage(
            self.cpu_seconds + other.cpu_seconds,
            self.resident_bytes + other.resident_bytes,
            self.peak_resident_bytes + other.peak_resident_bytes,
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """What of a process is resident.

    Attributes
    ----------
    anonymous_bytes
        Its own: heap, stacks.
    mapped_bytes
        Pages of files that it has mapped, libraries among them: the kernel takes them back at need.
    """

    anonymous_bytes: int
    mapped_bytes: int


def memory(pid: int) -> Memory:
    """Return what of a process, without its children, is resident now.

    Examples
    --------
    >>> own = memory(os.getpid())
    >>> own.anonymous_bytes > 1_000_000, own.mapped_bytes > 1_000_000
    (True, True)
    """
    status = (PROC / str(pid) / "status").read_text()
    mapped = _kibibytes(status, "RssFile:") + _kibibytes(status, "RssShmem:")
    return Memory(_kibibytes(status, "RssAnon:") * 1024, mapped * 1024)


def usage(pid: int) -> Usage:
    """Return what a process and its living descendants have used.

    Raises
    ------
    ProcessLookupError
        There is no such process.

    Examples
    --------
    >>> own = usage(os.getpid())
    >>> own.cpu_seconds > 0, own.peak_resident_bytes >= own.resident_bytes > 1_000_000
    (True, True)
    """
    seconds, resident, peak = 0.0, 0, 0
    for process in [pid, *_descendants(pid)]:
        try:
            fields = (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
            status = (PROC / str(process) / "status").read_text()
        except FileNotFoundError:
            if process == pid:
                raise ProcessLookupError(f"process {pid} is gone") from None
            continue  # a child that has just ended
        seconds += (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
        resident += _kibibytes(status, "VmRSS:") * 1024
        peak += _kibibytes(status, "VmHWM:") * 1024
    return Usage(seconds, resident, peak)


def own_broker() -> int | None:
    """Return the process of the Apache Kafka that this one has started; None where it runs elsewhere."""
    for process in _descendants(os.getpid()):
        try:
            command = (PROC / str(process) / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"kafka.Kafka" in command:
            return process
    return None


def proportional_bytes(pid: int) -> int:
    """Return the memory of a process and its living descendants, what they share counted once (Pss).

    Pages of libraries that other programs have mapped too count in part. This is near what a container is
    charged; resident sizes added up count the same libraries for every process.

    Examples
    --------
    >>> proportional_bytes(os.getpid()) > 1_000_000
    True
    """
    found = 0
    for process in [pid, *_descendants(pid)]:
        try:
            found += _kibibytes((PROC / str(process) / "smaps_rollup").read_text(), "Pss:") * 1024
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return found


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for listing in (PROC / str(pid) / "task").glob("*/children"):
        try:
            children = [int(child) for child in listing.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has just ended
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _kibibytes(status: str, label: str) -> int:
    """Return one figure of ``/proc/<pid>/status``; 0 where a dead process has none."""
    for line in status.splitlines():
        if line.startswith(label):
            return int(line.split()[1])
    return 0
