"""Names of things that are imported only when they are used: built-ins, decorated functions, plug-ins, a user's file.

All four come through one door, and none of the listing functions imports what it lists.
"""

import errno
import functools
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

from alignment.errors import AlignmentError, DataError, RequestError, unknown

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
    no file can shadow an installed package. Its folder can be imported from while it is imported and while the function
    runs; what is imported from there belongs to this file alone, so that files in other folders can have modules of the
    same names beside them.

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
    found = getattr(module, function, None)
    if not callable(found):
        own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise RequestError(f"{path}: {unknown('function', function, own)}")

    @functools.wraps(found)
    def call(*arguments: Any, **keywords: Any) -> Any:
        with _neighbours(path.parent, module.__name__):
            return found(*arguments, **keywords)

    return call


def files_behind(reference: str) -> tuple[Path, ...]:
    """The file that `./file.py:function` names, and those in its folder that it has imported so far."""
    path, _ = split_reference(reference)
    beside = _BESIDE.get(_module_name(path, path.read_bytes()), {})
    return (path, *sorted({file for module in beside.values() if (file := _file_of(module)) is not None}))


# name of a user's module -> the modules it imported from its own folder, by name
_BESIDE: dict[str, dict[str, ModuleType]] = {}
# and the content of their files when they were imported
_READ: dict[str, dict[Path, str]] = {}


def _module_name(path: Path, content: bytes) -> str:
    return "alignment_file_" + hashlib.sha256(str(path).encode() + b"\0" + content).hexdigest()[:16]


def _import(path: Path, content: bytes) -> ModuleType:
    name = _module_name(path, content)
    if name in sys.modules and all(_digest(file) == known for file, known in _READ[name].items()):
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    _BESIDE[name] = {}
    try:
        # the bytes that were hashed are the bytes that run: no stale bytecode, none written
        with _neighbours(path.parent, name), foreign_code(str(path)):
            exec(compile(content, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name], _BESIDE[name]
        raise
    return module


@contextmanager
def _neighbours(folder: Path, name: str) -> Iterator[None]:
    """Modules in `folder` can be imported by the user's module `name`, and are kept for it alone."""
    own = _BESIDE[name]
    sys.path.append(str(folder))
    hidden = {each: sys.modules[each] for each in own if each in sys.modules}
    sys.modules.update(own)
    before = set(sys.modules)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        new = {each: sys.modules[each] for each in set(sys.modules) - before}
        tops = {each for each in new if _lies_in(folder, new[each], each)}
        own |= {each: module for each, module in new.items() if each.partition(".")[0] in tops}
        for each in own:
            sys.modules.pop(each, None)
        sys.modules.update(hidden)
        files = [_file_of(module) for module in own.values()]
        _READ[name] = {file: _digest(file) for file in files if file is not None}


def _lies_in(folder: Path, module: ModuleType, name: str) -> bool:
    """Whether a module is a file or a package directly in this folder."""
    file = _file_of(module)
    places = [file] if file is not None else [Path(place) / "__init__.py" for place in getattr(module, "__path__", ())]
    return any(place in (folder / f"{name}.py", folder / name / "__init__.py") for place in places)


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file)


def _digest(file: Path) -> str:
    """Of a file's content; of one that is gone, nothing that any content has."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


@contextmanager
def foreign_code(where: str) -> Iterator[None]:
    """Turn whatever a user's or a plug-in's code raises into one line that names it and the exception."""
    try:
        yield
    except AlignmentError:
        raise
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        kind = DataError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) else RequestError
        file = f" ({error.filename})" if error.filename else ""
        raise kind(f"{where}: {type(error).__name__}: {reason}{file}") from error
    # it ends the program without a word, and with a code that means something else here
    except SystemExit as error:
        raise RequestError(f"{where}: SystemExit: {error.code}; raise an error that says what is wrong") from error
    # this is the border to code we did not write, which can raise anything
    except Exception as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"{where}: {type(error).__name__}: {reason or 'no message'}") from error
