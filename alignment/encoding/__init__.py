"""Encoding models: ridge regression from activations to responses and its held-out predictivity."""

from alignment.encoding.axes import gram_equivalent
from alignment.encoding.features import FeatureSource, RowSubset, TensorFeatures
from alignment.encoding.predictivity import predictivity
from alignment.encoding.ridge import RidgeFit, fit_ridge

__all__ = [
    "FeatureSource",
    "RidgeFit",
    "RowSubset",
    "TensorFeatures",
    "fit_ridge",
    "gram_equivalent",
    "predictivity",
]
