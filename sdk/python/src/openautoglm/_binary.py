"""The product's binary: where it is, and starting it in place of this process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

VARIABLE = "OPENAUTOGLM_BIN"
_NAME = "openautoglm.exe" if os.name == "nt" else "openautoglm"
#: The product's own code for a wrong configuration.
_WRONG = 2


def become(words: Sequence[str]) -> NoReturn:
    """Runs the binary with these words, as this very process where the system can do that.

    Signals and exit codes thereby are its own. Ends with a message when it cannot be run.
    """
    binary = find()
    if binary is None:
        _end(
            f"the program openautoglm is not there: name it in {VARIABLE}, install it beside "
            "this package, or put it on the PATH. `make build` in a clone of the repository "
            "builds it into target/release"
        )
    command = [str(binary), *words]
    try:
        if os.name == "nt":
            # There is no exec that keeps the process there.
            sys.exit(subprocess.call(command))  # noqa: S603 - the product itself
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606 - the product itself
    except OSError as error:
        _end(f"{binary} cannot be run: {error.strerror or error}")


def find() -> Path | None:
    """The variable's, the one beside this package, or the one on the PATH; None when none is."""
    named = os.environ.get(VARIABLE)
    if named:
        if not _is_program(Path(named)):
            _end(f"{VARIABLE} names {named}, which is no program")
        return Path(named)
    for folder in (Path(__file__).parent / "bin", Path(sysconfig.get_path("scripts"))):
        if _is_program(folder / _NAME):
            return folder / _NAME
    found = shutil.which(_NAME)
    return Path(found) if found else None


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _end(message: str) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(_WRONG)
