"""Neural predictivity: how well a network's layers predict responses to stimuli the fit has not seen."""

from benchmarks.neural.measure import RidgeMeasure
from benchmarks.neural.predictivity import NeuralPredictivity, neural_predictivity

__all__ = ["NeuralPredictivity", "RidgeMeasure", "neural_predictivity"]
