"""Suites: which benchmarks belong together, as YAML files a user can read and add to."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from alignment.errors import DataError, RequestError, unknown
from benchmarks.settings import NULLS

SUFFIX = ".yaml"


class Suite(BaseModel):
    """What a suite file says.

    Attributes
    ----------
    name : the file's stem
    summary : what the suite measures, in one line
    benchmarks : names of benchmarks, in the order of the report
    models : scored when the user names no model
    nulls : null rows scored beside every model
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    summary: str
    benchmarks: tuple[str, ...]
    models: tuple[str, ...] = ()
    nulls: tuple[str, ...] = NULLS


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
        There is no such suite (with near misses).
    DataError
        The file is not a suite.
    """
    own = name.endswith(SUFFIX)
    path = Path(name) if own else configs_folder() / "suites" / f"{name}{SUFFIX}"
    if own and not path.is_file():
        raise RequestError(f"no suite file {name}; known suites: {', '.join(suite_names())}")
    if not own and name not in suite_names():
        raise unknown("suite", name, suite_names())
    try:
        content = yaml.safe_load(path.read_text())
        suite = Suite.model_validate({"name": path.stem, **content})
    except (yaml.YAMLError, TypeError) as error:
        raise DataError(f"{path} is not a suite: {str(error).splitlines()[0]}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    check_nulls(suite.nulls)
    return suite


def check_nulls(nulls: Sequence[str]) -> tuple[str, ...]:
    """The null rows asked for, if all of them are known."""
    for null in nulls:
        if null not in NULLS:
            raise unknown("null row", null, NULLS)
    return tuple(nulls)
