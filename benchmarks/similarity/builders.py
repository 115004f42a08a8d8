"""From what a user typed to a benchmark of similarity; each function is a `builder` of `benchmarks.measures`."""

from collections.abc import Mapping
from typing import Any

from alignment.rsa import Comparison
from benchmarks.choices import SQUARED, asked_of, inference_of, marks_of, recording_of
from benchmarks.datasets.base import DataSet, RDMDataSet
from benchmarks.neural.builders import ridge_predictivity
from benchmarks.settings import Settings
from benchmarks.similarity.benchmark import Similarity
from benchmarks.similarity.kernels import ByCKA, ByProcrustes
from benchmarks.similarity.strategies import ByRDM, Strategy
from benchmarks.similarity.versa import VoxelReweighted


def rsa(name: str, dataset: DataSet | RDMDataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Similarity:
    """Representational similarity analysis; 1 - Pearson and Spearman where nothing else was asked for."""
    options = {**preferred, **asked_of(settings)}
    return similarity(name, dataset, strategy=_by_rdm(options), settings=settings, options=options)


def versa(name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> VoxelReweighted:
    """Voxel-reweighted RSA on the predictions of the ridge benchmark."""
    options = {**preferred, **asked_of(settings)}
    ridge = ridge_predictivity(name, dataset, settings=settings, preferred=preferred)
    return VoxelReweighted(
        name,
        dataset,
        ridge=ridge,
        strategy=_by_rdm(options),
        recording=ridge.recording,
        inference=inference_of(options, settings),
        marks=ridge.marks,
    )


def cka_linear(name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Similarity:
    """Linear CKA, unbiased."""
    return _by(ByCKA(), name, dataset, settings=settings, preferred=preferred)


def cka_linear_biased(name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Similarity:
    """Linear CKA as it was first published."""
    return _by(ByCKA(bias="biased"), name, dataset, settings=settings, preferred=preferred)


def cka_rbf(name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Similarity:
    """CKA with a radial kernel, unbiased."""
    return _by(ByCKA(kernel="rbf"), name, dataset, settings=settings, preferred=preferred)


def cka_rbf_biased(name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Similarity:
    """CKA with a radial kernel as it was first published."""
    return _by(ByCKA(kernel="rbf", bias="biased"), name, dataset, settings=settings, preferred=preferred)


def procrustes(name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Similarity:
    """Procrustes similarity."""
    return _by(ByProcrustes(), name, dataset, settings=settings, preferred=preferred)


def _by(
    strategy: Strategy, name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]
) -> Similarity:
    options = {**preferred, **asked_of(settings)}
    return similarity(name, dataset, strategy=strategy, settings=settings, options=options)


def _by_rdm(options: Mapping[str, Any]) -> ByRDM:
    comparator = options.get("comparator", "spearman")
    comparison = Comparison(
        comparator.removesuffix(SQUARED),
        pooling=options.get("pooling", "optimal"),
        squared=comparator.endswith(SQUARED),
    )
    return ByRDM(distance=options.get("distance", "1-pearson"), comparison=comparison)


def similarity(
    name: str,
    dataset: DataSet | RDMDataSet,
    *,
    strategy: Strategy,
    settings: Settings,
    options: Mapping[str, Any],
) -> Similarity:
    """The benchmark of a strategy under a user's settings."""
    return Similarity(
        name,
        dataset,
        strategy=strategy,
        recording=recording_of(options),
        inference=inference_of(options, settings),
        marks=(*dataset.marks, *marks_of(settings)),
    )
