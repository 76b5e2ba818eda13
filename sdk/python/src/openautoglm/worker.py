"""``python -m openautoglm.worker --controller URL --model NAME``: offers models to a controller.

Everything is handed to the binary: ``openautoglm worker --help`` tells what it knows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from openautoglm._binary import become

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Becomes a worker."""
    become(["worker", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    main()
