"""Similarity of representations: measures that compare a layer with the brain without fitting anything."""

from benchmarks.similarity.benchmark import Similarity
from benchmarks.similarity.strategies import ByRDM, Strategy

__all__ = ["ByRDM", "Similarity", "Strategy"]
