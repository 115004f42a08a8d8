"""The benchmark: whether a network says which of two images shown at once it is asked for, and invents none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr

from alignment.errors import RequestError
from alignment.models.base import Model
from alignment.registry import foreign_code
from alignment.steering import Cueing, alone, by_share, challenge, source_of_decisions, sweep_shares
from alignment.steering.challenge import STRENGTHS
from alignment.stimuli.composites import ARRANGEMENTS
from benchmarks.contracts import Part, Scored, Session, Unsuited
from benchmarks.nulls import UNTRAINED
from benchmarks.robustness.classification import Classification
from benchmarks.robustness.images import at_work, check_logits
from benchmarks.steering.composed import FOLDS, LEAST, MOST, OF_A_CLASS, Composed, steerable
from benchmarks.steering.tables import ALONE, cells, choice, details, figures, flags, judged, surface, tried
from benchmarks.steering.templates import MEANS, ONE_HOT, RANDOM, Templates

OVERLAP = "overlap"
# parts beside those that are named after templates
SHARES = "shares"
# of the first image; an even share is what the other parts have
SWEPT = (0.2, 0.3, 0.4)


class Steering(Classification):
    """P(cued): how often a network says the one of two classes that it is asked for; hallucinations beside it.

    Templates and strength are chosen on one half of the composites, by P(cued) less hallucinations, and judged on the
    other.

    Parameters
    ----------
    arrangement : of `alignment.stimuli.composites.ARRANGEMENTS`
    name, dataset, inference, batch_size, marks : as of `Classification`
    """

    null_rows = (UNTRAINED,)

    def __init__(self, *args: Any, arrangement: str = OVERLAP, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arrangement = arrangement
        self.composed = Composed(self.dataset)

    @property
    def summary(self) -> str:
        """One line."""
        return f"telling either of two images of {self.dataset.name} at once when asked, and not seeing a third"

    @property
    def words(self) -> tuple[str, ...]:
        """`cued`, and the arrangement."""
        return ("cued", self.arrangement)

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether there are class means to ask with."""
        lacking = self.composed.without_mean
        if not lacking:
            return ()
        return (f"no class means: no image of {lacking[0]} ({len(lacking)} such) is left beside the composites",)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Templates that are tried; random ones are a control and never chosen."""
        return (ONE_HOT, *(() if self.composed.without_mean else (MEANS,)), RANDOM)

    def settings(self) -> dict[str, Any]:
        """Arrangement, strengths, shares, folds, and how many composites."""
        return {
            "arrangement": self.arrangement,
            "templates": list(self.kinds),
            "strengths": list(STRENGTHS),
            "shares": list(SWEPT) if self.arrangement == OVERLAP else [],
            "folds": FOLDS,
            "composites": len(self.composed.triplets.first),
            "images of a class mean": OF_A_CLASS,
        }

    def check(self) -> None:
        """There are enough images of three classes or more."""
        self.composed.check(self.name)

    def check_model(self, model: Model) -> None:
        """It can be asked for a class of the data set, and takes composites.

        Raises
        ------
        Unsuited
            It has no feedback, or none from its decisions.
        RequestError
            Its logits are of other classes, or composites have a size that it does not take.
        """
        network = steerable(model).module
        check_logits(model, self.dataset)
        if network.passes < 2:
            raise Unsuited(f"{model.name} makes one pass, and a cue acts from the second on; give it passes=2")
        try:
            source_of_decisions(network, len(self.dataset.classes))
        except RequestError as fault:
            raise Unsuited(f"{model.name}: {fault}") from None
        pairs = self.composed.pairs(self.composed.blocks[0][:1], model, device="cpu")
        with foreign_code(f"{model.name} on a composite ({self.arrangement})"), torch.no_grad():
            network(ARRANGEMENTS[self.arrangement](pairs.first, pairs.second, 0.5))

    def references(self) -> tuple[Model, ...]:
        """None: what can be steered has a place here."""
        return ()

    def memory(self) -> int:
        """Outputs for images of every class, in float64."""
        return 2 * 8 * OF_A_CLASS * len(self.dataset.classes) ** 2

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """Size of the outputs that class means are made of."""
        if all(part.subject != MEANS for part in pending):
            return 0
        return self._templates(model, session).missing_bytes()

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Every kind of template, and other shares, on every block of composites."""
        subjects = (*self.kinds, *((SHARES,) if self.arrangement == OVERLAP else ()))
        return tuple(Part(subject, str(number)) for subject in subjects for number in range(len(self.composed.blocks)))

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """See `alignment.steering.challenge`; what `alone` finds has names that begin with `alone_`."""
        network, block = steerable(model).module, self.composed.blocks[int(part.layer)]
        kind = ONE_HOT if part.subject == SHARES else part.subject
        of_model = self._templates(model, session)
        # at strength 0 all templates are one
        strengths = STRENGTHS if kind == ONE_HOT else STRENGTHS[1:]
        cueing = Cueing(of_model.source, of_model.of(kind, self.composed.fold_of(block)), strengths=strengths)
        with at_work(model, device=session.device):
            pairs = self.composed.pairs(block, model, device=session.device)
            if part.subject == SHARES:
                return sweep_shares(network, pairs, cueing, shares=SWEPT, batch_size=self.batch_size)
            arrange = ARRANGEMENTS[self.arrangement]
            found = challenge(network, pairs, cueing, arrange=arrange, batch_size=self.batch_size)
            by_itself = alone(network, pairs, cueing, batch_size=self.batch_size)
        return found.merge(by_itself.rename({name: f"{ALONE}{name}" for name in by_itself.data_vars}))

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Mean over composites, at what the other half chose; the surface has everything that was tried."""
        found = {
            subject: xr.concat(
                [data for part, data in measured.items() if part.subject == subject], "composite", data_vars="minimal"
            )
            for subject in dict.fromkeys(part.subject for part in measured)
        }
        shares = by_share(found.pop(SHARES)) if SHARES in found else ()
        of_kind = {kind: tried(data) for kind, data in found.items()}
        chosen = choice(of_kind, self._folds)
        at, rows = judged(of_kind, chosen, self._folds), cells(of_kind)
        modal, votes = Counter(chosen).most_common(1)[0]
        result, raw = self.as_score(at.cued)
        uncued, uncued_raw = self.as_score(of_kind[ONE_HOT].answers.cued[0])
        return Scored(
            result,
            raw,
            by_split={f"fold {fold}": float(at.cued[self._folds == fold].mean()) for fold in range(FOLDS)},
            layer=str(modal),
            time_bin=0.0,
            layer_share=votes / FOLDS,
            surface=surface(rows, shares),
            details=details(chosen, rows, shares),
            clean=uncued.raw,
            clean_raw=uncued_raw,
            flags=flags(at.hallucinated),
            figures=figures(at, rows, modal),
        )

    def card(self) -> dict[str, str]:
        """What it is, its source, and where it fails."""
        return {
            "measure": f"P(cued): two images at once ({self.arrangement}), how often the class that is asked for is "
            "said, mean over the two; hallucination: how often a class that is in neither is, when asked for",
            "formula": "mean over composites of ([argmax logits | cue A = A] + [argmax logits | cue B = B]) / 2",
            "cue": "a template in the place of the decisions that are fed back, from the second pass on; one-hot, "
            f"class means of up to {OF_A_CLASS} other images, and random vectors as a control",
            "clean": "the same without a cue; figures: hallucination, at every strength",
            "layer": "templates and strength, chosen on one half of the composites by P(cued) less hallucination, "
            "judged on the other",
            "composites": f"each image in one at most, {MOST} at most, {LEAST} at least",
            "source": "Konkle & Alvarez 2023, NeurIPS; intervals: Wilson 1927, over composites",
            "known failure": "a network that says whatever it is asked for has P(cued) = 1: read hallucination beside "
            "it; classes of the third image are those of the data set alone",
        }

    @cached_property
    def _folds(self) -> np.ndarray:
        """(composite,) in the order of the blocks."""
        blocks = self.composed.blocks
        return np.concatenate([np.full(len(block), self.composed.fold_of(block)) for block in blocks])

    def _templates(self, model: Model, session: Session) -> Templates:
        source = source_of_decisions(steerable(model).module, len(self.dataset.classes))
        return Templates(model, source, composed=self.composed, session=session, batch_size=self.batch_size)
