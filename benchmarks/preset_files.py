"""Presets: settings in YAML files that a user can read and add to, typed as the user's own words are."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from alignment.errors import DataError, RequestError, unknown
from benchmarks.suites import SUFFIX, configs_folder

P = TypeVar("P")


def preset_names(kind: str) -> list[str]:
    """Every shipped preset of a kind, which is also the name of its folder in `configs`: "tuning", "training"."""
    return sorted(path.stem for path in (configs_folder() / kind).glob(f"*{SUFFIX}"))


def load_preset(name: str, *, kind: str, read: Callable[[str, Mapping[str, Any]], P]) -> P:
    """A shipped preset by name, or a user's own as `./mine.yaml`.

    Parameters
    ----------
    name : as a user types it
    kind : what messages call it, and the name of its folder
    read : from the stem of the file and what it says to the preset; raises a TypeError where that is none

    Raises
    ------
    RequestError
        There is none (with near misses), or a file has the name of a shipped one.
    DataError
        The file is no such preset.
    """
    own, shipped = name.endswith(SUFFIX), preset_names(kind)
    folder = configs_folder() / kind
    path = Path(name).expanduser() if own else folder / f"{name}{SUFFIX}"
    if own and not path.is_file():
        raise RequestError(f"no file {name} of a {kind}; shipped ones: {', '.join(shipped)}")
    if not own and name not in shipped:
        raise unknown(kind, name, shipped)
    if own and path.stem in shipped and path.resolve() != (folder / path.name).resolve():
        raise RequestError(f"{name}: {path.stem!r} is the name of a shipped {kind}; give the file another name")
    try:
        content = yaml.safe_load(path.read_text())
        if not isinstance(content, dict) or not isinstance(content.get("summary"), str):
            raise TypeError("it must map summary and settings to their values")
        return read(path.stem, content)
    except (yaml.YAMLError, TypeError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no {kind}: {str(error).splitlines()[0]}") from None


def as_typed(value: Any) -> str:
    """A value of such a file as a user would type it.

    Raises
    ------
    TypeError
        It is no text, number or list of them.

    Examples
    --------
    >>> as_typed([0.1, 1]), as_typed(True)
    ('0.1,1', 'true')
    """
    if isinstance(value, list):
        return ",".join(map(as_typed, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"{value!r} is no text, number or list of them")
