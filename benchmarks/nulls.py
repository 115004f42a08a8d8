"""Null rows: what stands beside users' models, so that a score can be told from nothing."""

PIXELS = "pixels"
GABOR = "gabor"
# copies of a model with its weights permuted, and models on permuted responses
UNTRAINED = "untrained"
SHUFFLED = "shuffled"
# what names of rows say of the latter
SHUFFLED_MARK = "responses=shuffled"
# published results of some data, and chance, which belong to single benchmarks
REFERENCES = "references"

NULLS = (PIXELS, GABOR, UNTRAINED, SHUFFLED, REFERENCES)
