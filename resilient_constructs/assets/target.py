"""What a wheel must fit: the machine, C library and Python that a function runs on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .errors import AssetError

__all__ = ["BUILD_FOR", "Target", "target_for"]

BUILD_FOR = "RESILIENT_BUILD_FOR"
"""Set to ``host``, dependencies are installed for this machine and this Python: for the local AWS."""

# Lambda's architecture → what wheels, uv and platform.machine() call it on Linux.
_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}

# python3.12 and later run on Amazon Linux 2023 (glibc 2.34), earlier ones on Amazon Linux 2 (glibc 2.26).
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
# https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html
_GLIBC_AL2023, _GLIBC_AL2 = 34, 26
_FIRST_PYTHON_ON_AL2023 = (3, 12)

# manylinux tags start with these glibc versions: aarch64 has had wheels since manylinux2014.
_OLDEST_GLIBC = {"aarch64": 17, "x86_64": 5}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A Linux machine with a Python, or this very machine.

    :param python: the Python version as ``3.13``
    :param architecture: Lambda's name for the processor: ``arm64`` or ``x86_64``
    :param host: whether to install for this machine and interpreter whatever the other two say
    """

    python: str
    architecture: str
    host: bool = False

    @property
    def machine(self) -> str:
        """The processor as Linux and the wheels call it."""
        return _MACHINES[self.architecture]

    @property
    def glibc_minor(self) -> int:
        """The 34 of glibc 2.34, the newest that a wheel may ask for."""
        major, minor = self.python.split(".")
        on_al2023 = (int(major), int(minor)) >= _FIRST_PYTHON_ON_AL2023
        return _GLIBC_AL2023 if on_al2023 else _GLIBC_AL2

    @property
    def key(self) -> str:
        """What tells this target from others in a cache."""
        if self.host:
            return f"host-{sys.implementation.cache_tag}-{platform.system()}-{platform.machine()}"
        return f"cp{self.python}-manylinux_2_{self.glibc_minor}_{self.machine}"

    @property
    def told(self) -> str:
        """The target in words, as an error prints it."""
        if self.host:
            return f"Python {platform.python_version()} on this machine ({platform.machine()})"
        return f"Python {self.python} on {self.architecture} Linux with glibc 2.{self.glibc_minor} or older"

    def platform_tags(self) -> Iterator[str]:
        """Every wheel platform tag that runs there, newest first.

        pip takes the tags it is given literally, so each glibc version is named, and the older names too.
        """
        oldest = _OLDEST_GLIBC[self.machine]
        for minor in range(self.glibc_minor, oldest - 1, -1):
            yield f"manylinux_2_{minor}_{self.machine}"
        yield f"manylinux2014_{self.machine}"
        if oldest <= 12:
            yield f"manylinux2010_{self.machine}"
            yield f"manylinux1_{self.machine}"

    def markers(self) -> Mapping[str, str]:
        """The values of environment markers (PEP 508) there."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


def target_for(python: str, architecture: str) -> Target:
    """The function's own target, or this machine's where ``RESILIENT_BUILD_FOR=host`` is set.

    :raises AssetError: when the variable says anything else
    """
    chosen = os.environ.get(BUILD_FOR, "")
    if chosen not in ("", "host"):
        raise AssetError(
            f"{BUILD_FOR} is {chosen!r}; allowed: 'host', or unset for the function's own platform"
        )
    return Target(python=python, architecture=architecture, host=chosen == "host")
