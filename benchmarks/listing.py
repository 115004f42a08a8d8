"""What `bench list` prints, without importing what it names."""

from alignment.models import model_names, model_summary
from alignment.tuning.controls import CONTROLS
from benchmarks.catalogue import DATASETS, ENTRIES, benchmark_names
from benchmarks.measures import MEASURES
from benchmarks.suites import load_suite, suite_names
from benchmarks.training import presets as trainings
from benchmarks.tuning import presets as tunings


def listing(kind: str) -> list[tuple[str, str]]:
    """Names and one line about each, for a key of `_LISTS`."""
    return _LISTS[kind]()


def _models() -> list[tuple[str, str]]:
    built_in = [(name, model_summary(name)) for name in model_names()]
    return [
        *built_in,
        ("<torchvision name>", "any torchvision classifier: resnet18, alexnet, torchvision/vit_b_16, ..."),
        ("timm/<name>", "any timm model (pip install 'brain-alignment-bench[timm]')"),
        ("./file.py:function", "your own: a function that returns an nn.Module"),
    ]


def _suites() -> list[tuple[str, str]]:
    return [(name, load_suite(name).summary) for name in suite_names()]


def _benchmarks() -> list[tuple[str, str]]:
    return [(name, DATASETS.summary(name.partition(".")[0])) for name in benchmark_names()]


def _datasets() -> list[tuple[str, str]]:
    return [(name, f"{DATASETS.summary(name)} {_selections(name)}".rstrip()) for name in DATASETS.names()]


def _measures() -> list[tuple[str, str]]:
    return [(name, measure.summary) for name, measure in MEASURES.items()]


def _trainings() -> list[tuple[str, str]]:
    return [(name, trainings.load_preset(name).summary) for name in trainings.preset_names()]


def _tunings() -> list[tuple[str, str]]:
    return [(name, tunings.load_preset(name).summary) for name in tunings.preset_names()]


def _controls() -> list[tuple[str, str]]:
    return [(name, control.summary) for name, control in CONTROLS.items()]


def _selections(name: str) -> str:
    selections = ENTRIES[name].selections if name in ENTRIES else ()
    return f"[{', '.join(selections)}]" if selections else ""


_LISTS = {
    "models": _models,
    "suites": _suites,
    "benchmarks": _benchmarks,
    "measures": _measures,
    "datasets": _datasets,
    "trainings": _trainings,
    "tunings": _tunings,
    "controls": _controls,
}
