"""The benchmark: what is left of a ridge's predictivity when test images are perturbed to move the layer away."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from alignment import fingerprint
from alignment.errors import RequestError
from alignment.models.base import Model
from alignment.registry import foreign_code
from alignment.samples import Samples
from benchmarks.choices import Inference, asked_of, id_of, inference_of, marks_of, recording_of, whole_number
from benchmarks.contracts import Part, Scored, Session
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.shuffled import Shuffled
from benchmarks.fingerprint import PixelDigests
from benchmarks.neural import NeuralPredictivity
from benchmarks.neural.fits import part_dataset
from benchmarks.neural.judged_twice import ALTERED, change, judge_twice
from benchmarks.neural.predicting import JUDGED, Predicting
from benchmarks.neural.regressions import Ridge
from benchmarks.neural.scoring import Measured, choose, pick
from benchmarks.neural.target import Shown
from benchmarks.recordings import Recording
from benchmarks.robustness.builders import radii
from benchmarks.robustness.images import at_work
from benchmarks.robustness.moved import Moves, Moving, bytes_of
from benchmarks.settings import Settings

CODE_VERSION = 1
# invisible in a photograph, and enough to move a deep layer far
RADII = {"linf": "1/255", "l2": "0.5"}
STEPS = "20"
# what a part keeps of how far images moved the layer, and what figures call it
SHIFTS = {
    "shift": "relative shift",
    "shift_by_chance": "relative shift by chance",
    "shift_recorded": "relative shift as recorded",
    "shift_in_common": "shift that images share, as recorded",
}
# share of images that an attack may move no further than chance does
STUCK = 0.1


class Fragility(NeuralPredictivity):
    """Held-out r of a ridge on images perturbed within a ball so that the layer moves away, beside that on clean ones.

    Fits, choice of layer and clean scores are those of the ridge benchmark: only the test images change.

    Parameters
    ----------
    ridge : fitted on clean images
    moving : ball and attack
    name, dataset, recording, inference, marks : as of `NeuralPredictivity`
    """

    def __init__(
        self,
        name: str,
        dataset: DataSet,
        *,
        ridge: Ridge,
        moving: Moving,
        recording: Recording,
        inference: Inference,
        marks: Sequence[str] = (),
    ) -> None:
        super().__init__(
            name, dataset, strategy=Predicting(ridge), recording=recording, inference=inference, marks=marks
        )
        self.ridge = ridge
        self.moving = moving
        self.summary = f"{dataset.name}: {'-'.join(ridge.words)} on images perturbed so that the layer moves away"

    @property
    def measured_by(self) -> str:
        """Ball and steps, then the words of the ridge."""
        return id_of(("fragility", *self.moving.words, *self.strategy.words(self.recording)), self.marks)

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """Hash of all that enters a fit of the ridge, and of ball, attack and the root of its seeds."""
        return fingerprint.of_parts(
            f"fragility {CODE_VERSION}",
            super().fit_fingerprint(digests),
            fingerprint.of_settings(self.moving.settings()),
        )

    def check_model(self, model: Model) -> None:
        """It has layers to record, whose activations have a gradient in the pixels.

        Raises
        ------
        RequestError
            A layer has none, or the network fails on the first image.
        """
        super().check_model(model)
        stimuli = self.recording.viewed(self.dataset.stimuli)
        pixels = stimuli.pixels(stimuli.ids[:1], size=model.image_size, visual_degrees=model.visual_degrees)
        with at_work(model, device="cpu"), foreign_code(f"{model.name} on one image"):
            recorded = model.record(pixels.requires_grad_(), model.layers, seeds=[0])
        rigid = [layer for layer, activations in recorded.items() if not activations.requires_grad]
        if rigid:
            raise RequestError(
                f"{model.name}: layer {rigid[0]!r} has no gradient in the pixels ({len(rigid)} of {len(recorded)} "
                "layers), so no attack can move it; choose others (model.layers=), or compute it with gradients"
            )

    def bytes(self, model: Model, pending: Sequence[Part], session: Session) -> int:
        """As for the ridge, and the layers on perturbed images."""
        moves = [self._moves(model, part, session) for part in pending]
        return super().bytes(model, pending, session) + bytes_of(moves)

    def memory(self) -> int:
        """As for the ridge, and the perturbed images' features on the axes of the clean ones."""
        most = max(self._responses(subject).sizes["stimulus"] for subject in self.dataset.subjects)
        return super().memory() + 2 * 8 * most**2

    def shuffled(self) -> "Fragility":
        """The same measurement on responses permuted over stimuli."""
        return Fragility(
            self.name,
            Shuffled(self.dataset),
            ridge=self.ridge,
            moving=self.moving,
            recording=self.recording,
            inference=self.inference,
            marks=self.marks,
        )

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Fit a layer on clean images, and predict from clean and from perturbed ones.

        Returns
        -------
        Dataset
            What the ridge keeps; `r_altered` (fold, time_bin, neuroid) and `predicted_altered` (time_bin, stimulus,
            neuroid), on perturbed images; `shift`, `shift_by_chance`, `shift_recorded` (time_bin, stimulus), how far
            each moved the layer, relative to the length of its pattern: as the network gives it, the same by chance,
            and as it is recorded; `shift_in_common` (time_bin), of `neural.judged_twice.Change`, as recorded.
        """
        target = self._target_of(part.subject)
        clean = Shown(session, self.dataset.stimuli, self.recording, target.ids).layer(model, part.layer)
        moves, time_bins = self._moves(model, part, session), model.time_bins[part.layer]
        judged = Shown(session, self.dataset.stimuli, self.recording, moves.shown.ids).layer(model, part.layer)
        bins = []
        for time_bin, features, held_out in zip(time_bins, clean, judged, strict=True):
            moved = moves.at(time_bin)
            twice = judge_twice(features, moved.features, target=target, ridge=self.ridge, device=session.device)
            recorded = change(moved.features, held_out)
            shifts = {
                "shift": moved.shift,
                "shift_by_chance": moved.shift_by_chance,
                "shift_recorded": recorded.relative,
            }
            of_images = {name: ("stimulus", values) for name, values in shifts.items()}
            bins.append(twice.assign(of_images).assign(shift_in_common=recorded.in_common))
        return part_dataset(bins, target, time_bins=time_bins)

    def score(self, measured: Measured) -> Scored:
        """What is left, that on clean images beside it; the layer is the one that is chosen on clean images."""
        clean, moved = super().score(measured), super().score(_OnAltered(measured))
        subjects = list(dict.fromkeys(part.subject for part in measured))
        chosen = {name: pick(measured, name, choose(measured, name)) for name in subjects}
        reasons = _stuck(chosen)
        of_clean = clean.details["subjects"]
        details = {name: {**of, "clean": of_clean[name]["raw"]} for name, of in moved.details["subjects"].items()}
        return replace(
            moved,
            score=replace(moved.score, status="unreliable") if reasons else moved.score,
            surface=[*moved.surface, *({**row, "layer": f"clean: {row['layer']}"} for row in clean.surface)],
            details={"subjects": details},
            clean=clean.score.raw,
            clean_raw=clean.raw,
            flags=reasons,
            figures={**_share(moved.raw, clean.raw), **_shifts(chosen)},
        )

    def resolved(self) -> dict[str, Any]:
        """As of the ridge, with ball and attack."""
        return {**super().resolved(), "fragility": self.moving.settings()}

    def describe(self) -> dict[str, Any]:
        """As of the ridge, with what differs."""
        moving, described = self.moving, super().describe()
        return {
            **described,
            "measure": "r of a ridge, fitted on clean training images, on test images that were perturbed so that the "
            f"layer moves away; {JUDGED}; clean: the same on clean test images",
            "formula": "r(y, X(x') b), b of the ridge on clean training images, y the responses to the clean image x, "
            "x' within the ball, as far as the ascent finds it, of the largest |a(x') - a(x)|, a the activations",
            "threat": f"{moving.norm}, epsilon {moving.epsilon[0]} in pixel units, on pixels as the network takes them "
            "(resized, padding included)",
            "attack": f"projected gradient ascent, {moving.steps} steps of 2.5 epsilon / {moving.steps}, from a random "
            "start, on the layer before it is pooled or projected; each layer and time_bin by itself",
            "layer": f"{described['layer']}; on clean images",
            "source": "Sabour et al. 2016, ICLR (attacks on representations); Madry et al. 2018, ICLR (ascent); "
            f"{described['source']}",
            "known failure": "no bound: the attack knows no responses, and the images that move a layer most are not "
            "those that change predictions most; r does not see a shift that all images share, so that much can be "
            "left of it after a large one (the figures say how large); brains were shown the clean images only",
        }

    def _moves(self, model: Model, part: Part, session: Session) -> Moves:
        target = self._target_of(part.subject)
        judged = [name for name, held_out in zip(target.ids, target.judged, strict=True) if held_out]
        shown = Shown(session, self.dataset.stimuli, self.recording, judged)
        return Moves(model, part.layer, shown=shown, moving=self.moving)


def fragility(name: str, dataset: DataSet, *, settings: Settings, preferred: Mapping[str, Any]) -> Fragility:
    """The benchmark under a user's settings.

    Parameters
    ----------
    preferred : settings of the ridge that differ from the common defaults on this data set

    Raises
    ------
    RequestError
        More than one radius or none, or no number of steps.
    """
    asked = asked_of(settings)
    options = {**preferred, **asked}
    norm: Any = asked.get("norm", "linf")
    epsilons = radii(asked.get("epsilon", RADII[norm]))
    if len(epsilons) > 1:
        raise RequestError(
            f"benchmark.epsilon={asked['epsilon']}: fragility moves each image once; give one radius, such as "
            f"{epsilons[0][0]}"
        )
    steps = whole_number("steps", asked.get("steps", STEPS))
    if steps is None:
        raise RequestError("benchmark.steps=none: give a whole number above 0")
    return Fragility(
        name,
        dataset,
        ridge=Ridge(selection=options.get("selection", "loo"), scale=options.get("scale", "none")),
        moving=Moving(norm, epsilons[0], steps, seed=settings.seed),
        recording=recording_of(options),
        inference=inference_of(options, settings),
        marks=(*dataset.marks, *marks_of(settings)),
    )


class _OnAltered(Mapping[Part, xr.Dataset]):
    """Measured parts with predictions from perturbed images in the place of those from clean ones."""

    def __init__(self, measured: Measured) -> None:
        self.measured = measured

    def __getitem__(self, part: Part) -> xr.Dataset:
        data = self.measured[part]
        return data.assign({name: data[f"{name}{ALTERED}"] for name in ("r", "predicted")})

    def __iter__(self) -> Iterator[Part]:
        return iter(self.measured)

    def __len__(self) -> int:
        return len(self.measured)


def _share(moved: Samples, clean: Samples) -> dict[str, float]:
    """What is left of clean predictivity, with the interval of the ratio of two means as in `alignment.score`.

    None where clean predictivity cannot be told from 0.
    """
    whole = clean.estimate()
    if whole.low <= 0:
        return {}
    share = moved.value / whole.value
    rest = moved.minus(clean.times(share)).estimate()
    half = (rest.high - rest.low) / 2 / whole.value
    return {"left of clean": share, "left of clean, low": share - half, "left of clean, high": share + half}


def _shifts(chosen: Mapping[str, Sequence[xr.Dataset]]) -> dict[str, float]:
    """Medians over images, or over folds, in the chosen cells, mean over subjects."""
    return {
        said: float(np.mean([np.median(_of_images(folds, name)) for folds in chosen.values()]))
        for name, said in SHIFTS.items()
    }


def _stuck(chosen: Mapping[str, Sequence[xr.Dataset]]) -> tuple[str, ...]:
    """The reason why a score is unreliable: an attack that gets no further than chance had no gradient to follow."""
    further = [_of_images(folds, "shift") > _of_images(folds, "shift_by_chance") for folds in chosen.values()]
    share = 1 - float(np.concatenate(further).mean())
    if share <= STUCK:
        return ()
    return (
        f"gradient: the attack moves the layer of {share:.0%} of images no further than a random point of the ball",
    )


def _of_images(folds: Sequence[xr.Dataset], name: str) -> np.ndarray:
    """Of all images, or of all folds, each in its chosen cell."""
    return np.concatenate([np.atleast_1d(of_fold[name].values) for of_fold in folds])
