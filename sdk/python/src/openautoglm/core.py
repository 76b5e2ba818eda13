"""``python -m openautoglm.core --role=controller --port=8080``: starts the product.

Everything but ``--role`` is handed to the binary: ``openautoglm controller --help`` tells what it
knows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from openautoglm._binary import become

__all__ = ["main"]

_ROLES = ("controller", "worker")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Becomes the binary in the role that is asked for; a controller unless told."""
    # Help is the binary's, and an abbreviation could be one of its words.
    parser = argparse.ArgumentParser(
        prog="python -m openautoglm.core", add_help=False, allow_abbrev=False
    )
    parser.add_argument("--role", choices=_ROLES, default="controller")
    known, rest = parser.parse_known_args(arguments)
    become([known.role, *rest])


if __name__ == "__main__":
    main()
