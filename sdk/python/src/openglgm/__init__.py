"""Another name for openautoglm: the same objects, submodules too."""

import openautoglm  # noqa: F401 - what the alias stands for
from openautoglm._alias import install

install(__name__, "openautoglm")
