"""What a figure was measured on, and what a process used."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct

_PACKAGES = ("groundwire", "onnxruntime", "qdrant-edge-py", "litestar", "uvicorn", "numpy")


class Machine(Struct, frozen=True, kw_only=True):
    """The machine and the versions. `load` is the mean number of runnable processes in the last minute."""

    cpu: str
    cores: int
    memory_gib: int
    system: str
    load: float
    versions: dict[str, str]


class Usage(Struct, frozen=True):
    """What a process and its children have used so far."""

    cpu_s: float
    rss_bytes: int


def this_machine() -> Machine:
    """This one, now."""
    return Machine(
        cpu=_field("/proc/cpuinfo", "model name") or platform.processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20),
        system=f"{platform.system()} {platform.release()}",
        load=round(os.getloadavg()[0], 2),
        versions={"python": sys.version.split()[0], **{name: version_of(name) for name in _PACKAGES}},
    )


def usage_of(pid: int) -> Usage:
    """Of a process and all below it; what ended before it was asked is not in it. Zero where there is no /proc."""
    cpu_s, rss_bytes = 0.0, 0
    for member in _family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        cpu_s += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        rss_bytes += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return Usage(cpu_s, rss_bytes)


def _family(pid: int) -> list[int]:
    members = [pid]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                members += [int(child) for child in children.read_text(encoding="utf-8").split()]
            except OSError:
                continue
    return members


def _field(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def version_of(name: str) -> str:
    """The version of a package in this environment, nothing if it is not here."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
