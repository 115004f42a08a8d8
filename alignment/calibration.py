"""How far a network's probabilities can be trusted."""

import math

import torch
from torch import Tensor

from alignment.errors import RequestError

BINS = 15


def predictive_distribution(logits: Tensor) -> Tensor:
    """Log probabilities of classes, of the mean over draws of a network's probabilities.

    Parameters
    ----------
    logits : (draw, image, class)

    Returns
    -------
    (image, class) float64

    Examples
    --------
    >>> predictive_distribution(torch.zeros(1, 1, 4)).exp()
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]], dtype=torch.float64)
    """
    return logits.double().log_softmax(-1).logsumexp(0) - math.log(len(logits))


def calibration_error(confidence: Tensor, correct: Tensor, *, n_bins: int = BINS) -> float:
    r"""Expected calibration error (Guo et al. 2017, ICML, eq. 3): $\sum_b \frac{n_b}{n} |acc(b) - conf(b)|$.

    Confidences are put in bins of equal width, a bin without its lower and with its upper edge. The error of few images
    is too large on average: within a bin chance differences count as error.

    Parameters
    ----------
    confidence : (image,) probability of the class that was chosen
    correct : (image,) whether it is the right one, or the share of draws in which it is
    n_bins : of [0, 1]

    Raises
    ------
    RequestError
        No image, lengths that differ, or a confidence outside [0, 1].

    Examples
    --------
    >>> calibration_error(torch.tensor([0.9, 0.9, 0.5]), torch.tensor([1.0, 0.0, 1.0])) # (2 |.5 - .9| + |1 - .5|) / 3
    0.43...
    """
    if confidence.shape != correct.shape or confidence.ndim != 1 or not len(confidence):
        raise RequestError(
            f"calibration: confidence {tuple(confidence.shape)} and correct {tuple(correct.shape)}; give one of each "
            "for some images"
        )
    confidence, correct = confidence.double(), correct.double()
    if not ((confidence >= 0) & (confidence <= 1 + 1e-9)).all():
        raise RequestError("calibration: a confidence is outside [0, 1]; give probabilities")
    places = (confidence * n_bins).ceil().long().clamp(1, n_bins) - 1
    gaps = torch.zeros(n_bins, dtype=torch.float64).index_add_(0, places.cpu(), (correct - confidence).cpu())
    return float(gaps.abs().sum() / len(confidence))
