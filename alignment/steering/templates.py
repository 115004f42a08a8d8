"""What a network is steered with: a vector for each class, in the units of a source of feedback.

Because sources are normalised, a template counts up to a positive factor and a constant. One-hot and random templates
are cheap controls of class means.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from alignment import seeds
from alignment.errors import RequestError


class ClassMoments(NamedTuple):
    """Of what a source puts out, by class; NaN where there are too few images.

    Attributes
    ----------
    images : (class,) int64, how many
    mean : (class, *unit) float64, from one image on
    sd : (class, *unit) float64, over n - 1, from two images on
    """

    images: Tensor
    mean: Tensor
    sd: Tensor

    def templates(self) -> Tensor:
        """(class, *unit) float32, the means.

        Raises
        ------
        RequestError
            A class has no image.
        """
        missing = torch.nonzero(self.images == 0).flatten().tolist()
        if missing:
            raise RequestError(f"templates: no image of class {missing[0]} ({len(missing)} such); give some of each")
        return self.mean.float()


def class_moments(outputs: Iterable[tuple[Tensor, Tensor]], *, n_classes: int) -> ClassMoments:
    """Mean and standard deviation of outputs by class, batch by batch.

    Batches are joined by their means and summed squares about them (Chan, Golub & LeVeque 1983, Am Stat 37:242), in
    float64: the difference of a mean square and a squared mean would lose what is small beside the mean.

    Parameters
    ----------
    outputs : of each batch, (image, *unit) of what a source put out, and (image,) int64 classes
    n_classes : of all that there are

    Raises
    ------
    RequestError
        There is no batch.

    Examples
    --------
    >>> found = class_moments([(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 0]))], n_classes=2)
    >>> found.images, found.mean[0], found.sd[0]
    (tensor([3, 0]), tensor([3.], dtype=torch.float64), tensor([2.], dtype=torch.float64))
    """
    count = torch.zeros(n_classes, dtype=torch.int64)
    mean = spread = None
    for values, classes in outputs:
        batch = values.detach().cpu().double()
        if mean is None or spread is None:
            mean, spread = (torch.zeros(n_classes, *batch.shape[1:], dtype=torch.float64) for _ in range(2))
        for each in classes.unique().tolist():
            own = batch[(classes == each).cpu()]
            n, centre = len(own), own.mean(0)
            total, shift = int(count[each]) + n, centre - mean[each]
            spread[each] += (own - centre).square().sum(0) + shift.square() * (int(count[each]) * n / total)
            mean[each] += shift * (n / total)
            count[each] = total
    if mean is None or spread is None:
        raise RequestError("templates: no image; give outputs of some for each class")
    n_images = count.view(-1, *[1] * (mean.ndim - 1))
    sd = (spread / (n_images - 1).clamp(min=1)).sqrt()
    return ClassMoments(count, mean.where(n_images > 0, torch.nan), sd.where(n_images > 1, torch.nan))


def one_hot(n_classes: int) -> Tensor:
    """1 at the class and 0 elsewhere: (class, class) float32."""
    return torch.eye(n_classes)


def random_templates(n_classes: int, shape: tuple[int, ...], *, seed: int) -> Tensor:
    """A normal vector for each class, which has nothing to do with it: (class, *unit) float32.

    Examples
    --------
    >>> random_templates(2, (5,), seed=0).shape
    torch.Size([2, 5])
    """
    draws = torch.Generator().manual_seed(seeds.derive(seed, "templates"))
    return torch.randn(n_classes, *shape, generator=draws)
