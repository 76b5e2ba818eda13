"""A second name for this package.

``openglgm.x`` is the module ``openautoglm.x`` itself, not a copy of it: otherwise an exception
raised under one name would not be caught under the other.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType


def install(alias: str, package: str) -> None:
    """Makes ``alias`` mean ``package``, with whatever submodules it has or will have."""
    finder = _Finder(alias, package)
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
    sys.modules[alias] = sys.modules[package]


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, alias: str, package: str) -> None:
        self._names = (alias, package)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Finder) and self._names == other._names

    def __hash__(self) -> int:
        return hash(self._names)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the interface
        target: ModuleType | None = None,  # noqa: ARG002 - the interface
    ) -> ModuleSpec | None:
        alias, package = self._names
        if not fullname.startswith(f"{alias}."):
            return None
        real = importlib.util.find_spec(package + fullname[len(alias) :])
        if real is None:
            return None
        locations = real.submodule_search_locations
        loader = _Loader(real)
        return ModuleSpec(fullname, loader, origin=real.origin, is_package=locations is not None)


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, real: ModuleSpec) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002 - the interface
        module = importlib.import_module(self._real.name)
        # The import system is about to overwrite it with that of the alias.
        self._real = module.__spec__ or self._real
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._real

    def get_source(self, fullname: str) -> str | None:  # noqa: ARG002 - the interface
        loader = self._real.loader
        if isinstance(loader, importlib.abc.InspectLoader):
            return loader.get_source(self._real.name)
        return None

    def get_code(self, fullname: str) -> CodeType | None:  # noqa: ARG002 - the interface
        # For ``python -m``.
        loader = self._real.loader
        if isinstance(loader, importlib.abc.InspectLoader):
            return loader.get_code(self._real.name)
        return None
