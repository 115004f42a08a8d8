"""Whether images are classified correctly, batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.attacks.checks import check_scores
from alignment.attacks.threat import Logits, Moment, decisive

DEFAULT_BATCH = 64


@dataclass(frozen=True)
class Classifier:
    """A model as a judge sees it: images in, right or wrong out.

    Parameters
    ----------
    logits : of the model
    moment : which decisions count
    batch_size : images per forward pass
    """

    logits: Logits
    moment: Moment = "last"
    batch_size: int = DEFAULT_BATCH

    def correct(self, pixels: Tensor, labels: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Whether each decision is right; one made of NaN is not.

        Parameters
        ----------
        pixels : (image, 3, row, column)
        labels : (image,)
        seeds : one per image, for stochastic models

        Returns
        -------
        (image, decision) bool
        """
        found = []
        for start in range(0, len(pixels), self.batch_size):
            part = slice(start, start + self.batch_size)
            with torch.no_grad():
                scores = self.logits(pixels[part], seeds=list(seeds[part]))
            check_scores(scores, labels[part])
            decisions = decisive(scores, self.moment)
            found.append((decisions.argmax(-1) == labels[part, None]) & ~decisions.isnan().any(-1))
        return torch.cat(found)

    def expected(
        self, pixels: Tensor, labels: Tensor, *, seeds: Sequence[int], purpose: str, n_draws: int = 1
    ) -> Tensor:
        """Share of draws in which each decision is right: (image, decision) float32.

        `purpose` names the draws: those of one purpose are independent of those of another, and of an attack's own.
        """
        total: Tensor | None = None
        for draw in range(n_draws):
            named = draw_seeds(seeds, "judge", purpose, draw)
            right = self.correct(pixels, labels, seeds=named).float()
            total = right if total is None else total + right
        assert total is not None
        return total / n_draws
