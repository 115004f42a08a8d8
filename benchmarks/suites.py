"""Suites: which benchmarks belong together, as YAML files a user can read and add to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alignment.errors import DataError, RequestError, unknown
from benchmarks.nulls import NULLS

SUFFIX = ".yaml"
LISTS = ("benchmarks", "models", "nulls", "measures")
KEYS = ("summary", *LISTS)


@dataclass(frozen=True)
class Suite:
    """What a suite file says.

    Attributes
    ----------
    name : the file's stem
    summary : what the suite measures, in one line
    benchmarks : names of benchmarks, in the order of the report
    models : scored when the user names no model
    nulls : null rows scored beside every model
    measures : what is measured where the user does not say; the data set's own default where this is empty
    """

    name: str
    summary: str
    benchmarks: tuple[str, ...]
    models: tuple[str, ...] = ()
    nulls: tuple[str, ...] = NULLS
    measures: tuple[str, ...] = ()


def configs_folder() -> Path:
    """The shipped settings: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def suite_names() -> list[str]:
    """Every shipped suite."""
    return sorted(path.stem for path in (configs_folder() / "suites").glob(f"*{SUFFIX}"))


def load_suite(name: str) -> Suite:
    """A shipped suite by name, or a user's own as `./mine.yaml`.

    Raises
    ------
    RequestError
        There is no such suite (with near misses), or a file has the name of a shipped one.
    DataError
        The file is not a suite.
    """
    own = name.endswith(SUFFIX)
    path = Path(name).expanduser() if own else _shipped(name)
    if own and not path.is_file():
        raise RequestError(f"no suite file {name}; known suites: {', '.join(suite_names())}")
    if path.stem in suite_names() and path.resolve() != _shipped(path.stem).resolve():
        raise RequestError(f"{name}: {path.stem!r} is the name of a shipped suite; give the file another name")
    if not own and name not in suite_names():
        raise unknown("suite", name, suite_names())
    try:
        return _suite(path.stem, yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, TypeError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a suite: {str(error).splitlines()[0]}") from None


def check_nulls(nulls: Sequence[str]) -> tuple[str, ...]:
    """The null rows asked for, if all of them are known."""
    for null in nulls:
        if null not in NULLS:
            raise unknown("null row", null, NULLS)
    return tuple(nulls)


def _shipped(name: str) -> Path:
    return configs_folder() / "suites" / f"{name}{SUFFIX}"


def _suite(name: str, content: Any) -> Suite:
    """Check types by hand: reading a suite is part of `bench list`, which must start in an instant."""
    if not isinstance(content, dict):
        raise TypeError("it must map summary and benchmarks to their values")
    for key in content:
        if key not in KEYS:
            raise TypeError(str(unknown("key", str(key), KEYS)))
    lists = {key: content[key] for key in LISTS if key in content}
    for key, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise TypeError(f"{key} must be a list of names")
    if not isinstance(content.get("summary"), str) or not content.get("benchmarks"):
        raise TypeError("it needs a summary and a list of benchmarks")
    entries: dict[str, Any] = {**content, **{key: tuple(value) for key, value in lists.items()}}
    suite = Suite(name=name, **entries)
    check_nulls(suite.nulls)
    return suite
