"""What the figures were measured on. No host names, no users, no paths."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

PACKAGES: Final = ("aiohttp", "aiolimiter", "aiometer", "apsw", "msgspec", "tenacity", "uvloop")


def describe() -> dict[str, str]:
    """Processor, memory, system, versions and date, each in words."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
        "programs": ", ".join(filter(None, (_first_line("parallel", "--version"), _first_line("curl", "--version")))),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _first_line(program: str, flag: str) -> str:
    """What a program calls itself, in its first words; empty where it is not installed."""
    if shutil.which(program) is None:
        return ""
    said = subprocess.run([program, flag], capture_output=True, text=True, check=False, timeout=20).stdout
    return " ".join(said.split()[: 3 if program == "parallel" else 2])
