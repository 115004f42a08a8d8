"""Presets of tuning: YAML files that a user can read and add to, whose values are typed as the user's own words are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import preset_files
from benchmarks.preset_files import as_typed

KIND = "tuning"


@dataclass(frozen=True)
class Preset:
    """What a file of a preset says.

    Attributes
    ----------
    name : the file's stem
    summary : one line
    values : settings by their keys below `tuning.`, as text
    audit : what is scored before and after: mappings of keys below `benchmark.` to text
    """

    name: str
    summary: str
    values: Mapping[str, str]
    audit: tuple[Mapping[str, str], ...]


def preset_names() -> list[str]:
    """Every shipped preset."""
    return preset_files.preset_names(KIND)


def load_preset(name: str) -> Preset:
    """A shipped preset by name, or a user's own as `./mine.yaml`; raises as `benchmarks.preset_files.load_preset`."""
    return preset_files.load_preset(name, kind=KIND, read=_preset)


def _preset(name: str, content: Mapping[str, Any]) -> Preset:
    audit = content.get("audit") or []
    if not isinstance(audit, list) or not all(isinstance(each, dict) for each in audit):
        raise TypeError("audit must be a list of mappings, each with the name of a benchmark")
    values = {str(key): as_typed(value) for key, value in content.items() if key not in ("summary", "audit")}
    entries = tuple({str(key): as_typed(value) for key, value in each.items()} for each in audit)
    if not all("benchmark" in each for each in entries):
        raise TypeError("each entry of audit must name a benchmark")
    return Preset(name, content["summary"], values, entries)
