"""Names of things that are imported only when they are used: built-ins, decorated functions, plug-ins, a user's file.

All four come through one door, and none of the listing functions imports what it lists.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from alignment.errors import AlignmentError, RequestError, unknown

ENTRY_POINT_GROUP = "brain_alignment_bench"
Builder = TypeVar("Builder", bound=Callable[..., Any])


class Registry:
    """The names of one kind of thing.

    Parameters
    ----------
    kind : what error messages and entry points call it: "model", "benchmark", "dataset"
    builtin : name -> "module:attribute", imported when the name is asked for
    summaries : name -> one line for a listing

    Examples
    --------
    >>> shapes = Registry("shape", {"path": "pathlib:Path"}, summaries={"path": "a path"})
    >>> shapes.names(), shapes.get("path").__name__, shapes.summary("path")
    (('path',), 'Path', 'a path')
    """

    def __init__(
        self, kind: str, builtin: Mapping[str, str], *, summaries: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.kind = kind
        self._builtin = dict(builtin)
        self._summaries = dict(summaries)
        self._registered: dict[str, Callable[..., Any]] = {}

    def register(self, name: str) -> Callable[[Builder], Builder]:
        """Decorator that gives a function a name; running it again replaces the function, as a notebook needs.

        Raises
        ------
        RequestError
            A built-in has that name, or it could be taken for a file.
        """
        if name in self._builtin:
            raise RequestError(f"{self.kind} {name!r} is built in; choose another name")
        if not name or is_file_reference(name):
            raise RequestError(f"{self.kind} name {name!r} reads like a file; choose a plain name")

        def keep(builder: Builder) -> Builder:
            self._registered[name] = builder
            return builder

        return keep

    def names(self) -> tuple[str, ...]:
        """Every name, built-ins first, without importing what they stand for."""
        others = sorted({*self._registered, *self._plugins()} - set(self._builtin))
        return (*self._builtin, *others)

    def summary(self, name: str) -> str:
        """One line about a name, without importing what it stands for."""
        if name in self._registered:
            return (inspect.getdoc(self._registered[name]) or "registered here").splitlines()[0]
        if name in self._builtin:
            return self._summaries.get(name, "")
        plugins = self._plugins().get(name, [])
        return f"plug-in: {plugins[0].value}" if plugins else ""

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._registered or name in self._plugins()

    def get(self, name: str) -> Any:
        """What the name stands for, imported now.

        Raises
        ------
        RequestError
            Nothing has that name (near misses are given), two plug-ins share it, or importing it failed.
        """
        if name in self._registered:
            return self._registered[name]
        if name in self._builtin:
            module, _, attribute = self._builtin[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        plugins = self._plugins()
        if name not in plugins:
            raise unknown(self.kind, name, self.names())
        if len({plugin.value for plugin in plugins[name]}) > 1:
            values = ", ".join(sorted(plugin.value for plugin in plugins[name]))
            raise RequestError(f"{self.kind} {name!r} is offered by several plug-ins ({values}); remove all but one")
        with foreign_code(f"{self.kind} {name!r} ({plugins[name][0].value})"):
            return plugins[name][0].load()

    def from_file(self, reference: str) -> Any:
        """The function `./path/file.py:function` names; see `load_from_file`."""
        return load_from_file(reference, kind=self.kind)

    def find(self, name: str) -> Any:
        """What a name or a `./file.py:function` stands for."""
        return self.from_file(name) if is_file_reference(name) else self.get(name)

    def _plugins(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        prefix = f"{self.kind}."
        for point in entry_points(group=ENTRY_POINT_GROUP):
            if point.name.startswith(prefix):
                found.setdefault(point.name.removeprefix(prefix), []).append(point)
        return found


def is_file_reference(name: str) -> bool:
    """Whether a name means a Python file: `./mine.py:build`, `folder/mine.py:build`, `mine.py`."""
    path = name.rpartition(":")[0] or name
    return path.endswith(".py") or name.startswith(("./", "../", "/", "~"))


def split_reference(reference: str) -> tuple[Path, str]:
    """`./folder/file.py:function` as (absolute path, function)."""
    path, colon, function = reference.rpartition(":")
    if not colon or not path or not function.isidentifier():
        raise RequestError(f"{reference!r} does not say which function to call; write ./file.py:function")
    return Path(path).expanduser().resolve(), function


def load_from_file(reference: str, *, kind: str = "function") -> Any:
    """Import a user's file under a module name of its own and return the function named.

    The module name contains the hash of path and content: the same file is imported once, an edited one afresh, and
    no file can shadow an installed package. Its folder can be imported from while it is being imported.

    Parameters
    ----------
    reference : `./path/file.py:function`
    kind : what the function is for, in error messages

    Raises
    ------
    RequestError
        No such file or function, or an exception inside the file; the message names the file and the exception.
    """
    path, function = split_reference(reference)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{kind} {reference!r}: cannot read {path} ({error.strerror}); check the path") from None
    module = _import(path, content)
    if not callable(getattr(module, function, None)):
        own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise RequestError(f"{path}: {unknown('function', function, own)}")
    return getattr(module, function)


def _import(path: Path, content: bytes) -> ModuleType:
    digest = hashlib.sha256(str(path).encode() + b"\0" + content).hexdigest()[:16]
    name = f"alignment_file_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    folder = str(path.parent)
    sys.path.append(folder)
    try:
        # the bytes that were hashed are the bytes that run: no stale bytecode, none written
        with foreign_code(str(path)):
            exec(compile(content, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(folder)
    return module


@contextmanager
def foreign_code(where: str) -> Iterator[None]:
    """Turn whatever a user's or a plug-in's code raises into one line that names it and the exception."""
    try:
        yield
    except AlignmentError:
        raise
    # this is the border to code we did not write, which can raise anything
    except Exception as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"{where}: {type(error).__name__}: {reason or 'no message'}") from error
