"""The learning rate as a function of the step: a linear rise, then half a cosine."""

import math


def learning_rate(step: int, *, warm_up: int, total: int, peak: float, least: float) -> float:
    """Learning rate of one update.

    least + step (peak - least) / (warm_up - 1) before step `warm_up`, and from there on
    least + (peak - least) (1 + cos(pi (step - warm_up) / (total - warm_up))) / 2.

    Parameters
    ----------
    step : how many updates were made before
    warm_up : updates of the rise, of which the last has the peak; 0 for none
    total : updates of the whole training, at least `warm_up`
    peak, least : the highest rate, and the one to begin and end at

    Examples
    --------
    >>> [learning_rate(step, warm_up=3, total=7, peak=1.0, least=0.0) for step in (0, 1, 2, 3, 5, 7)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warm_up:
        return least + step * (peak - least) / max(warm_up - 1, 1)
    return least + (peak - least) * (1 + math.cos(math.pi * (step - warm_up) / max(total - warm_up, 1))) / 2
