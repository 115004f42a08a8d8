"""The benchmark: what a network loses when its flows carry another image's property, beyond a control."""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import xarray as xr

from alignment import fingerprint
from alignment.dynamics.perturbation import functional_importance, perturb_flows
from alignment.errors import RequestError
from alignment.models.base import Model
from alignment.models.torch_model import TorchModel
from alignment.proportions import wilson
from alignment.resampling import stimulus_counts
from alignment.samples import Samples
from alignment.score import Score
from alignment.stimuli import StimulusSet
from benchmarks.contracts import Part, Scored, Session, Unsuited
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.fingerprint import PixelDigests
from benchmarks.robustness.classification import Classification
from benchmarks.robustness.images import Block, at_work, block_parts, blocks, check_logits

FOLDS = 2
# flows of a batch are held three times over: the image's own, a partner's, and what is put in their place
FLOWS_BATCH = 32


@runtime_checkable
class HoldsPartners(LabelledDataSet, Protocol):
    """Labelled images and, for each, others that differ from it in one property."""

    @property
    def partners(self) -> Mapping[str, StimulusSet]:
        """Kind of partner -> images under the ids of those they belong to."""
        ...


class Cell(NamedTuple):
    """The flow into one layer, at one time_bin."""

    layer: str
    time_bin: float


class Perturbation(Classification):
    """Functional importance of the flow that matters most: $(a_{control} - a_{perturbed}) / a_{original}$.

    Which flow that is, layer and time_bin, is chosen on one half of the images and judged on the other. The surface
    has every flow.

    Parameters
    ----------
    dataset : images with partners
    name, inference, batch_size, marks : as of `Classification`
    """

    # an untrained network is right by chance alone, so that it has nothing to lose; the control stands in each score
    null_rows = ()
    dataset: HoldsPartners

    @property
    def summary(self) -> str:
        """One line."""
        return f"functional importance of flows on {self.dataset.name}, beside a permuted control"

    @property
    def words(self) -> tuple[str, ...]:
        """`importance`."""
        return ("importance",)

    def settings(self) -> dict[str, Any]:
        """Kinds of partners, and folds."""
        return {"partners": list(self.dataset.partners), "folds": FOLDS}

    def fit_fingerprint(self, digests: PixelDigests) -> str:
        """With the pixels of partners."""
        return fingerprint.of_parts(super().fit_fingerprint(digests), *map(digests.whole, self.stimuli()[1:]))

    def stimuli(self) -> tuple[StimulusSet, ...]:
        """The images, and their partners."""
        return (self.dataset.stimuli, *self.dataset.partners.values())

    def check(self) -> None:
        """There are enough images to choose on one half of them.

        Raises
        ------
        RequestError
            There are not.
        """
        n = len(self.dataset.stimuli)
        if n < 2 * FOLDS:
            raise RequestError(f"{self.name}: {n} images; give at least {2 * FOLDS}, to choose a flow and to judge it")

    def check_model(self, model: Model) -> None:
        """Its layers send to each other over time, and its logits are of the data set's classes.

        Raises
        ------
        Unsuited
            It declares no flows.
        RequestError
            Its logits are of other classes.
        """
        _at_flows(model)
        check_logits(model, self.dataset)

    def references(self) -> tuple[Model, ...]:
        """None: chance has no flows."""
        return ()

    def parts(self, model: Model) -> tuple[Part, ...]:
        """Blocks of images."""
        return block_parts(self.dataset)

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """Of each image, whether it is classified rightly; see `alignment.dynamics.perturbation.perturb_flows`."""
        flowing, block = _at_flows(model), blocks(self.dataset)[int(part.layer)]
        pixels = block.pixels(self.dataset, model, device=session.device)
        with at_work(model, device=session.device), torch.no_grad():
            return perturb_flows(
                flowing,
                pixels,
                {name: self._partners(name, block, model, device=session.device) for name in self.dataset.partners},
                targets=block.targets,
                flows=flowing.incoming,
                ids=block.ids,
                seed=self.inference.seed,
                batch_size=min(self.batch_size, FLOWS_BATCH),
            )

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Importance of the chosen flow; the surface has every flow, figures both accuracies.

        Raises
        ------
        RequestError
            No image is classified rightly as it is, so that nothing can be lost.
        """
        whole = _over_kinds(xr.concat(list(measured.values()), "stimulus").sortby("stimulus"))
        original = whole["original"].values.astype(np.float64)
        if not original.any():
            raise RequestError(f"{self.name}: no image is classified rightly as it is; nothing can be lost")
        judged = _judged(whole)
        lost, folds = judged.control - judged.perturbed, judged.folds
        found, raw = self._as_importance(lost, original)
        modal, votes = Counter(judged.chosen).most_common(1)[0]
        clean, clean_raw = self.as_score(original)
        return Scored(
            found,
            raw,
            # a half without an image that is right has no ratio
            by_split={
                f"fold {fold}": _ratio(lost[folds == fold], original[folds == fold])
                for fold in range(FOLDS)
                if original[folds == fold].any()
            },
            layer=modal.layer,
            time_bin=modal.time_bin,
            layer_share=votes / FOLDS,
            surface=self._surface(whole),
            details={"chosen": [cell._asdict() for cell in judged.chosen], "accuracy": _accuracies(whole)},
            clean=clean.raw,
            clean_raw=clean_raw,
            flags=self._flags(original),
            figures={
                "accuracy, perturbed": float(judged.perturbed.mean()),
                "accuracy, control": float(judged.control.mean()),
            },
        )

    def card(self) -> dict[str, str]:
        """What it is, its source, and where it fails."""
        kinds = ", ".join(self.dataset.partners)
        return {
            "measure": f"functional importance: accuracy lost when the flow into one layer at one time_bin is that of "
            f"a partner ({kinds}), beyond what the same differences cost when they are dealt to other units",
            "formula": "(accuracy under the control - accuracy perturbed) / accuracy",
            "layer": "the flow that matters most, chosen on one half of the images and judged on the other",
            "clean": "accuracy as it is, on these images; figures: accuracy perturbed and under the control",
            "source": "Thorat, Aldegheri & Kietzmann 2021, SVRHM; interval: bootstrap over images, ratio linearised",
            "known failure": "a network that is hardly ever right has little to lose, and a ratio that varies widely",
        }

    def _partners(self, name: str, block: Block, model: Model, *, device: str) -> torch.Tensor:
        return self.dataset.partners[name].pixels(block.ids, size=model.image_size).to(device)

    def _surface(self, whole: xr.Dataset) -> list[dict[str, Any]]:
        cells = whole.drop_vars("original").expand_dims(property=[self.name])
        found = functional_importance(
            cells.assign(original=whole["original"]),
            n_bootstrap=self.inference.n_bootstrap,
            seed=self.inference.seed,
        ).isel(property=0)
        return [
            {
                "layer": str(layer),
                "time_bin": float(time),
                "raw": float(found["value"].sel(layer=layer, time_bin=time)),
                "raw_low": float(found["low"].sel(layer=layer, time_bin=time)),
                "raw_high": float(found["high"].sel(layer=layer, time_bin=time)),
            }
            for layer in found["layer"].values
            for time in found["time_bin"].values
        ]

    def _as_importance(self, lost: np.ndarray, original: np.ndarray) -> tuple[Score, Samples]:
        """The ratio, with resamples of its linearisation, which is finite whatever images a resample has."""
        n = len(original)
        value = _ratio(lost, original)
        influence = (lost - value * original) / original.mean()
        counts = stimulus_counts(n, self.dataset.name, n_resamples=self.inference.n_bootstrap, seed=self.inference.seed)
        raw = Samples(np.array([value]), (value + counts @ influence / n)[None], n_stimuli=n, subjects="fixed")
        found = Score(
            raw=raw.estimate(),
            ceiling=None,
            normalised=None,
            lower=None,
            status="ok",
            p_value=None,
            p_zero=raw.p_value(),
            p_lower=None,
            n_stimuli=n,
            n_neuroids=None,
            n_subjects=None,
            subjects_resampled=False,
        )
        return found, raw

    def _flags(self, original: np.ndarray) -> list[str]:
        chance = 1 / len(self.dataset.classes)
        if wilson(original).low > chance:
            return []
        return [f"accuracy {original.mean():.3f} is not above chance ({chance:g}), so that there is little to lose"]


def _at_flows(model: Model) -> TorchModel:
    """The same network, recorded at the flows between its layers.

    Raises
    ------
    Unsuited
        It declares none.
    """
    if not isinstance(model, TorchModel) or not model.incoming:
        raise Unsuited(
            f"{model.name} declares no flows between its layers (an attribute `incoming` of the network); name one "
            "that does, such as thorat_rnn"
        )
    flowing = copy.copy(model)
    flowing.select_layers([site for group in model.incoming.values() for site in group])
    return flowing


def _over_kinds(whole: xr.Dataset) -> xr.Dataset:
    """Correctness as numbers, averaged over the kinds of partners."""
    return whole.astype(np.float64).mean("property")


class _Judged(NamedTuple):
    """Correctness (image,) where the flow that the other half of the images chose is replaced, and which that is."""

    perturbed: np.ndarray
    control: np.ndarray
    folds: np.ndarray
    chosen: Sequence[Cell]


def _judged(whole: xr.Dataset) -> _Judged:
    stacked = whole.stack(cell=("layer", "time_bin"), create_index=False).transpose("stimulus", "cell")
    perturbed, control = stacked["perturbed"].values, stacked["control"].values
    images = np.arange(len(perturbed))
    folds = images % FOLDS
    best = np.array([(control - perturbed)[folds != fold].mean(axis=0).argmax() for fold in range(FOLDS)])
    cells = [
        Cell(*cell) for cell in zip(stacked["layer"].values.tolist(), stacked["time_bin"].values.tolist(), strict=True)
    ]
    at = images, best[folds]
    return _Judged(perturbed[at], control[at], folds, [cells[place] for place in best])


def _accuracies(whole: xr.Dataset) -> dict[str, list[dict[str, Any]]]:
    """Under each kind of replacement, of each flow."""
    return {
        kind: [
            {
                "layer": str(layer),
                "time_bin": float(time),
                "accuracy": float(whole[kind].sel(layer=layer, time_bin=time).mean()),
            }
            for layer in whole["layer"].values
            for time in whole["time_bin"].values
        ]
        for kind in ("perturbed", "control")
    }


def _ratio(lost: np.ndarray, original: np.ndarray) -> float:
    return float(lost.sum() / original.sum())
