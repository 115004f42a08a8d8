"""Anything a network may hold, as a text that depends on its content: not on addresses, not on the process."""

import dis
import functools
import inspect
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from alignment import fingerprint
from alignment.errors import RequestError

Parts = list[str | bytes]
# Python's C methods are equal in every process by name; the rest of these names a network cannot redefine
PLATFORM = frozenset({"torch", "numpy", *sys.stdlib_module_names})
_PLAIN = (str, int, float, bool, complex, bytes, type(None), torch.dtype, torch.device, torch.Size)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
# what `__reduce_ex__` raises for what has no content to read
_UNREADABLE = (TypeError, AttributeError, RuntimeError, ValueError, NotImplementedError)


def of_tensor(tensor: Tensor) -> str:
    """Hash of a tensor's type, shape and values, wherever it lies and however it is strided."""
    values = tensor.detach().cpu().contiguous()
    data = values.reshape(-1).view(torch.uint8).numpy().tobytes()
    return fingerprint.of_parts(str(tensor.dtype), repr(tuple(tensor.shape)), data)


def module_file(module: ModuleType | None) -> Path | None:
    """The Python file a module was read from; None for what was typed in or compiled."""
    file = getattr(module, "__file__", None)
    return Path(file) if file is not None and file.endswith(".py") and Path(file).is_file() else None


class Description:
    """Texts of values; each object is read once, and one that contains itself ends there.

    Parameters
    ----------
    values : whether tensors are read; without, only what code there is is of interest

    Attributes
    ----------
    modules : names of the modules, other than of torch, NumPy and Python, that define a class or function met
    """

    def __init__(self, *, values: bool = True) -> None:
        self.values = values
        self.modules: set[str] = set()
        # with each object, so that it lives and its id stays its own
        self._known: dict[int, tuple[str, Any]] = {}
        self._depth = 0
        self._where = ""

    def of(self, value: Any) -> str:
        """A text that is the same in every process and differs when anything in the value does.

        Raises
        ------
        RequestError
            Something in it has no content that can be read.
        """
        if isinstance(value, _PLAIN):
            return repr(value)
        if id(value) not in self._known:
            self._known[id(value)] = (f"the object {self._depth} levels down", value)
            self._depth += 1
            text = fingerprint.of_parts(*self._parts(value))
            self._depth -= 1
            self._known[id(value)] = (text, value)
        return self._known[id(value)][0]

    def of_parts_of(self, module: nn.Module) -> Parts:
        """Classes, printed and plain attributes of every part of a network, without its weights and buffers."""
        named = list(module.named_modules(remove_duplicate=False))
        for name, child in named:
            # before any is read: parts refer to each other, and to the whole
            self._known[id(child)] = (f"part {name!r}", child)
        parts: Parts = []
        for name, child in named:
            parts += [name, type(child).__qualname__, child.extra_repr(), *self._attributes(child, name)]
        return parts

    def _attributes(self, module: nn.Module, name: str) -> Iterator[str]:
        if isinstance(module, torch.jit.ScriptModule):
            yield getattr(module, "code", "")
            return
        for attribute in sorted(set(vars(module)) - _OF_EVERY_MODULE):
            self._where = f"{name or type(module).__qualname__}.{attribute}"
            yield from (attribute, self.of(vars(module)[attribute]))

    def _parts(self, value: Any) -> Parts:
        if isinstance(value, Tensor):
            return [of_tensor(value) if self.values else "tensor"]
        if isinstance(value, np.ndarray | np.generic):
            return self._array(np.asarray(value))
        if isinstance(value, nn.Module):
            tensors = (*value.named_parameters(), *value.named_buffers())
            return [*self.of_parts_of(value), *[text for name, each in tensors for text in (name, self.of(each))]]
        if isinstance(value, fx.Graph):
            return [value.python_code("self").src]
        if isinstance(value, torch.jit.ScriptFunction):
            return [str(value.code)]
        if isinstance(value, ModuleType):
            return [self._defined_in(value.__name__) or "module"]
        if inspect.isclass(value):
            return self._class(value)
        if isinstance(value, FunctionType):
            return self._function(value)
        if inspect.isroutine(value):
            return self._routine(value)
        return [self.of(type(value)), *self._content(value)]

    def _content(self, value: Any) -> Parts:
        """What an instance holds."""
        if isinstance(value, functools.partial):
            return [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, weakref.ReferenceType):
            return [self.of(value())]
        if isinstance(value, Mapping):
            # in order: a network may loop over it
            return [*[text for pair in value.items() for text in map(self.of, pair)], *self._fields(value)]
        if isinstance(value, Set):
            return [*sorted(map(self.of, value)), *self._fields(value)]
        if isinstance(value, Sequence):
            return [*map(self.of, value), *self._fields(value)]
        kind = type(value)
        reduces_itself = kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__
        if reduces_itself or not (hasattr(value, "__dict__") or _slots(kind)):
            return self._reduced(value)
        return self._fields(value)

    def _fields(self, value: Any) -> Parts:
        own = dict(getattr(value, "__dict__", {}))
        own |= {name: getattr(value, name) for name in _slots(type(value)) if hasattr(value, name)}
        return [text for name in sorted(own) for text in (name, self.of(own[name]))]

    def _reduced(self, value: Any) -> Parts:
        try:
            reduced = value.__reduce_ex__(4)
        except _UNREADABLE:
            raise RequestError(
                f"network attribute {self._where} holds a {type(value).__qualname__}, whose content cannot be "
                "hashed; remove it in the function that builds the network"
            ) from None
        if isinstance(reduced, str):
            return [reduced, *self._fields(value)]
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        return [*map(self.of, (make, arguments, state, list(items or ()), dict(pairs or ())))]

    def _array(self, array: np.ndarray) -> Parts:
        if array.dtype.hasobject:
            return [repr(array.shape), *map(self.of, array.ravel().tolist())]
        return [fingerprint.of_array(array)]

    def _class(self, cls: type) -> Parts:
        place = self._defined_in(cls.__module__)
        if place or module_file(sys.modules.get(cls.__module__)) is not None:
            # bases, so that their files are met too
            return [place, cls.__qualname__, *([] if place else map(self.of, cls.__bases__))]
        own = {name: member for name, member in vars(cls).items() if _is_written(name, member)}
        members = [text for name in sorted(own) for text in (name, *self._member(own[name]))]
        return [cls.__qualname__, *map(self.of, cls.__bases__), *members]

    def _member(self, member: Any) -> Parts:
        if isinstance(member, property):
            return [self.of(member.fget)]
        if isinstance(member, functools.cached_property):
            return [self.of(member.func)]
        return [self.of(member.__func__ if isinstance(member, staticmethod | classmethod) else member)]

    def _function(self, function: FunctionType) -> Parts:
        """Its code, its defaults, what it closes over and, where no file says so, the globals it reads."""
        place = self._defined_in(function.__module__ or "")
        parts: Parts = [place, function.__qualname__, self.of(function.__defaults__), self.of(function.__kwdefaults__)]
        for cell in function.__closure__ or ():
            try:
                parts.append(self.of(cell.cell_contents))
            except ValueError:
                parts.append("empty")
        if place:
            return parts
        parts += self._code(function.__code__)
        if module_file(sys.modules.get(function.__module__ or "")) is None:
            known = function.__globals__
            read = sorted(_globals_read(function.__code__) & set(known))
            parts += [text for name in read for text in (name, self.of(known[name]))]
        return parts

    def _routine(self, routine: Any) -> Parts:
        """A bound method, or a function or method written in C."""
        bound = getattr(routine, "__self__", None)
        if inspect.ismethod(routine):
            return [self.of(routine.__func__), self.of(bound)]
        name = getattr(routine, "__qualname__", "") or getattr(routine, "__name__", "")
        return [str(getattr(routine, "__module__", "")), name, self.of(bound)]

    def _code(self, code: CodeType) -> Parts:
        parts: Parts = [code.co_name, code.co_code, repr(code.co_names)]
        for constant in code.co_consts:
            parts += self._code(constant) if inspect.iscode(constant) else [self.of(constant)]
        return parts

    def _defined_in(self, module: str) -> str:
        """The module's name where it is torch's, NumPy's or Python's; others are noted, for their names may vary."""
        if module.partition(".")[0] in PLATFORM:
            return module
        self.modules.add(module)
        return ""


def _slots(kind: type) -> list[str]:
    found = [vars(base).get("__slots__", ()) for base in kind.__mro__]
    names = [name for slots in found for name in ((slots,) if isinstance(slots, str) else slots)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _is_written(name: str, member: Any) -> bool:
    """Whether a class's author wrote this member, rather than Python."""
    if name.startswith("__") and name.endswith("__"):
        return inspect.isfunction(member)
    # caches of abc, and the descriptors that Python makes for slots
    return name != "_abc_impl" and not inspect.ismemberdescriptor(member)


def _globals_read(code: CodeType) -> set[str]:
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = [_globals_read(constant) for constant in code.co_consts if inspect.iscode(constant)]
    return own.union(*inner)
