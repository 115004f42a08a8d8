"""Images and their partners; what the swaps do is tested beside the generator."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from alignment.errors import RequestError
from alignment.stimuli.clutter import CLASSES, EXTREMES, SWAPS, Clutter
from benchmarks.catalogue import ENTRIES, build_benchmarks
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.orthogonal import low_and_high
from benchmarks.datasets.perturbation import PROPERTIES, Partnered, build, build_digits, build_legacy
from benchmarks.perturbation.benchmark import HoldsPartners, Perturbation
from benchmarks.settings import parse

N = 12


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def of_digits(cache: Path, selection: str, n: int = N) -> Partnered:
    return build_digits(DataSettings(cache=cache, options={"subset": str(n)}), selection)


def test_every_swap_is_of_one_property() -> None:
    assert sorted(swap for swaps in PROPERTIES.values() for swap in swaps) == sorted(SWAPS)


@pytest.mark.parametrize("selection", PROPERTIES)
def test_images_and_partners_are_those_of_the_generator(cache: Path, selection: str) -> None:
    made = of_digits(cache, selection)
    assert isinstance(made, HoldsPartners) and tuple(made.partners) == PROPERTIES[selection]
    series = Clutter(low_and_high(), variation=EXTREMES)
    own, swapped = series.batch(range(N)), series.swapped(range(N))
    for stimuli, images in [
        (made.stimuli, own.images),
        *((made.partners[s], swapped[s].images) for s in made.partners),
    ]:
        assert stimuli.ids == made.stimuli.ids
        shown = np.stack([stimuli.image(name)[..., 0] for name in stimuli.ids])
        assert np.abs(shown / 255 - images).max() <= 0.5 / 255 + 1e-6
    np.testing.assert_array_equal(made.targets(), own.variables["category"] % 10)
    assert made.marks == (f"subset={N}",)


def test_images_are_made_once_for_all_properties(cache: Path) -> None:
    first, other = of_digits(cache, "scale"), of_digits(cache, "orientation")
    first.stimuli.image(first.stimuli.ids[0])
    files = {path.name: path.stat().st_mtime_ns for path in (cache / "clutter").iterdir()}
    assert first.stimuli.fingerprint == other.stimuli.fingerprint and first.fingerprint != other.fingerprint
    assert {path.name: path.stat().st_mtime_ns for path in (cache / "clutter").iterdir()} == files


def test_of_mnist_and_as_published(cache: Path, tmp_path: Path, shared_data: Path) -> None:
    for folder in ("MNIST/raw", "FashionMNIST/raw"):
        (tmp_path / folder).mkdir(parents=True)
        for packed in sorted((shared_data / "torchvision" / folder).glob("t10k-*.gz")):
            (tmp_path / folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    settings = DataSettings(root=tmp_path, cache=cache, options={"subset": "6"})
    ours, theirs = build(settings, "scale"), build_legacy(settings, "scale")
    assert ours.classes == CLASSES and (ours.name, theirs.name) == ("perturbation.scale", "perturbation-legacy.scale")
    assert ours.marks == theirs.marks == ("subset=6", "objects=2000+2000") and len(ours.fetch()) == 4
    assert ours.stimuli.fingerprint == theirs.stimuli.fingerprint
    assert ours.partners["scale"].fingerprint != theirs.partners["scale"].fingerprint
    legacy = ours.clutter.swapped(range(6), names=["scale"], legacy_swaps=True)["scale"].images
    shown = np.stack([theirs.partners["scale"].image(name)[..., 0] for name in theirs.stimuli.ids])
    assert np.abs(shown / 255 - legacy).max() <= 0.5 / 255 + 1e-6


def test_it_is_measured_by_importance_without_another_word(tmp_path: Path) -> None:
    (made,) = build_benchmarks("perturbation-digits.location", parse([f"results={tmp_path}"]))
    assert isinstance(made, Perturbation) and made.id == "perturbation-digits.location-importance"
    made.check()


def test_bad_words_are_refused(cache: Path) -> None:
    with pytest.raises(RequestError, match=r"property of perturbation-digits 'scal'; did you mean scale"):
        of_digits(cache, "scal")
    with pytest.raises(RequestError, match=r"data\.subset=500: perturbation-digits holds 400 images"):
        of_digits(cache, "scale", 500)
    for name in ("perturbation", "perturbation-legacy", "perturbation-digits"):
        assert ENTRIES[name].selections == tuple(PROPERTIES)
