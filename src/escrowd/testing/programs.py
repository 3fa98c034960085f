"""Where the programs of Monero are."""

import asyncio
import shutil
from pathlib import Path

from escrowd.domain.errors import EscrowdError, Fault


class ProgramMissing(EscrowdError):
    """A program of Monero is not installed."""

    fault = Fault.OPERATOR


def find_program(name: str) -> Path:
    """Find a program of Monero on the ``PATH``.

    Raises:
        ProgramMissing: it is not there.

    """
    found = shutil.which(name)
    if found is None:
        raise ProgramMissing(f"{name} is not on the PATH; on Debian, 'apt install monero' brings it")
    return Path(found).absolute()


def build_of(program: Path) -> str:
    """Return a text that changes when another build of a program is installed in its place."""
    state = program.stat()
    return f"{program}\n{state.st_size}\n{state.st_mtime_ns}"


async def version_line(program: Path) -> str:
    """Return how a program of Monero names its version, such as ``Monero 'Fluorine Fermi' (v0.18.0.0-unknown)``."""
    process = await asyncio.create_subprocess_exec(
        program, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode("utf-8", "replace").strip()
