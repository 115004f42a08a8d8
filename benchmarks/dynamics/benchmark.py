"""The benchmark: whether a network comes back to rest when an image goes, and how it behaves on the way."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from alignment.errors import RequestError
from alignment.models.base import Model
from alignment.models.cordsnet.layout import TIME_CONSTANT
from alignment.models.cordsnet.model import CordsNetModel
from alignment.resampling import stimulus_counts
from alignment.samples import Samples
from alignment.score import Score
from benchmarks.contracts import Part, Scored, Session, Unsuited
from benchmarks.dynamics.measured import NOISE, of_area, on_images
from benchmarks.dynamics.plots import DYNAMICS
from benchmarks.robustness.classification import Classification, as_array
from benchmarks.robustness.images import Block, at_work, blocks, check_logits

SPECTRUM = "spectrum"
# images that are computed as one, and how many of them a score is made of at most
SIZE, MOST_BLOCKS = 32, 8
# rates that still change by more in the last step are at no steady state
CONVERGED = 0.01
# of a 95 % interval
NORMAL = 1.96


class Dynamics(Classification):
    """Return to rest: the share of the way that an image moved the rates, which they came back after a blank.

    Parameters
    ----------
    name, dataset, inference, batch_size, marks : as of `Classification`
    """

    code_version = 2
    # an untrained copy has no reason to come to rest: permuted weights may let rates grow without end
    null_rows = ()

    @property
    def summary(self) -> str:
        """One line."""
        return f"return to rest after images of {self.dataset.name}, with spectra, noise and decisions over time"

    @property
    def words(self) -> tuple[str, ...]:
        """`dynamics`."""
        return (DYNAMICS,)

    def settings(self) -> dict[str, Any]:
        """Noise, and how many images."""
        return {"noise": list(NOISE), "images": sum(len(block.ids) for block in self._blocks)}

    def check_model(self, model: Model) -> None:
        """Its rates obey an equation, and its logits are of the data set's classes."""
        _cordsnet(model)
        check_logits(model, self.dataset)

    def references(self) -> tuple[Model, ...]:
        """None: no model without dynamics has a place here."""
        return ()

    def parts(self, model: Model) -> tuple[Part, ...]:
        """The spectrum of each area, and blocks of images dealt out over the data set."""
        count = len(self._blocks)
        return (
            *(Part(SPECTRUM, layer) for layer in _cordsnet(model).layers),
            *(Part(f"block {number + 1} of {count}", str(number)) for number in range(count)),
        )

    def measure(self, model: Model, part: Part, session: Session) -> xr.Dataset:
        """See `benchmarks.dynamics.measured`."""
        network = _cordsnet(model)
        block = self._blocks[0] if part.subject == SPECTRUM else self._blocks[int(part.layer)]
        pixels = block.pixels(self.dataset, network, device=session.device)
        with at_work(network, device=session.device):
            if network.folded is not None:
                network.folded.to(session.device)
            if part.subject == SPECTRUM:
                return of_area(network, part.layer, pixels)
            labels = as_array(block.labels(device="cpu"))
            seeds = block.seeds("dynamics", root=self.inference.seed)
            found = []
            for start in range(0, len(pixels), self.batch_size):
                rows = slice(start, start + self.batch_size)
                found.append(on_images(network, pixels[rows], labels[rows], seeds=seeds[rows]))
        clock = network.module.clock
        kept = xr.concat(found, "image", data_vars="minimal")
        return kept.assign_attrs(alpha=clock.alpha)

    def score(self, measured: Mapping[Part, xr.Dataset]) -> Scored:
        """Mean return over areas and images; the surface is the return of each area at each blank step, in ms."""
        shown = [data for part, data in measured.items() if part.subject != SPECTRUM]
        whole = xr.concat(shown, "image", data_vars="minimal")
        spectra = {part.layer: data for part, data in measured.items() if part.subject == SPECTRUM}
        step = shown[0].attrs["alpha"] * TIME_CONSTANT
        back = 1 - whole["left"].mean("area").values[:, -1]
        moved = np.isfinite(back)
        if not moved.any():
            raise RequestError(f"{self.name}: no image moves the rates by a finite amount; nothing can come back")
        found, raw = self._as_return(back[moved])
        surface = [
            _surface_row(area, round((place + 1) * step, 9), 1 - left)
            for area, of_area_ in zip(whole["area"].values, whole["left"].values, strict=True)
            for place, left in enumerate(of_area_.T)
        ]
        change = float(whole["change"].mean())
        return Scored(
            found,
            raw,
            by_split={},
            layer="all areas",
            time_bin=surface[-1]["time_bin"],
            layer_share=1.0,
            surface=surface,
            details={DYNAMICS: _details(whole, spectra, step=step)},
            flags=_flags(change, int((~moved).sum())),
            figures={"change in the last step": change, **_figures(whole, spectra)},
        )

    def card(self) -> dict[str, str]:
        """What it is, its source, and where it fails."""
        return {
            "measure": "return to rest: how much of what an image did to the rates a blank of as many steps undoes",
            "formula": "mean over images and areas of 1 - |r(off + blank) - r_0| / |r(off) - r_0|",
            "beside it": "mean over images, areas and units of (r(off + blank) - r_0)^2, which training penalises; "
            "eigenvalues of each recurrence and of its linearisation, time to 90 % of the last state, accuracy and "
            "entropy at every step, noise in the network and in the CNN it was made from",
            "blank": "the normalised 0, mean grey, not a black screen",
            "source": "dynamics: the equations of CordsNet's published code; spectra: ARPACK (Lehoucq et al. 1998)",
            "known failure": "a network that images hardly move comes back from little; time to 90 % is relative to "
            "the last step, which is a steady state only where the change in the last step is small",
        }

    @property
    def _blocks(self) -> Sequence[Block]:
        return blocks(self.dataset, SIZE)[:MOST_BLOCKS]

    def _as_return(self, back: np.ndarray) -> tuple[Score, Samples]:
        """The mean over images with a bootstrap interval."""
        counts = stimulus_counts(
            len(back), self.dataset.name, n_resamples=self.inference.n_bootstrap, seed=self.inference.seed
        )
        resampled = counts @ back / len(back)
        raw = Samples(np.array([back.mean()]), resampled[None], n_stimuli=len(back), subjects="fixed")
        found = Score(
            raw=raw.estimate(),
            ceiling=None,
            normalised=None,
            lower=None,
            status="ok",
            p_value=None,
            p_zero=None,
            p_lower=None,
            n_stimuli=len(back),
            n_neuroids=None,
            n_subjects=None,
            subjects_resampled=False,
        )
        return found, raw


def _cordsnet(model: Model) -> CordsNetModel:
    if not isinstance(model, CordsNetModel):
        raise Unsuited(
            f"{model.name} has no rates that obey an equation, so no dynamics to judge; name a CordsNet, such as "
            "cordsnet_r2"
        )
    return model


def _surface_row(area: str, time: float, back: np.ndarray) -> dict[str, Any]:
    """Mean return of images that moved the area, with an interval of the normal distribution."""
    kept = back[np.isfinite(back)]
    mean = float(kept.mean()) if len(kept) else float("nan")
    margin = NORMAL * float(kept.std(ddof=1)) / len(kept) ** 0.5 if len(kept) > 1 else 0.0
    return {"layer": area, "time_bin": time, "raw": mean, "raw_low": mean - margin, "raw_high": mean + margin}


def _flags(change: float, unmoved: int) -> list[str]:
    flags = []
    if change > CONVERGED:
        flags.append(f"no steady state: rates change by {change:.1%} in the last step with the image on")
    if unmoved:
        flags.append(f"{unmoved} images left out, which move no rate by a finite amount")
    return flags


def _figures(whole: xr.Dataset, spectra: Mapping[str, xr.Dataset]) -> dict[str, float]:
    found = {"accuracy at the last step": float(whole["correct"].values[:, -1].mean())}
    found["mean square distance from rest after the blank"] = float(whole["mean_square"].values[..., -1].mean())
    found["entropy at the last step, nats"] = float(whole["entropy"].values[:, -1].mean())
    for area, data in spectra.items():
        found[f"{area}: spectral radius"] = float(np.hypot(data["real"], data["imaginary"]).max())
        for state, growth, radius in zip(
            data["state"].values, data["growth"].values, data["step_radius"].values, strict=True
        ):
            found[f"{area}: growth, {state}"] = float(growth)
            found[f"{area}: step radius, {state}"] = float(radius)
    for area, times in zip(whole["area"].values, whole["steady"].values, strict=True):
        found[f"{area}: ms to 90 % of the last state"] = float(times.mean())
    last = whole["area"].values[-1]
    for system, by_sd, right in zip(
        whole["system"].values, whole["noise_relative"].values, whole["noise_correct"].values, strict=True
    ):
        for size, relative, correct in zip(whole["sd"].values, by_sd, right, strict=True):
            found[f"{system}: relative error of {last} at noise {size:g}"] = float(np.nanmean(relative[-1]))
            found[f"{system}: accuracy at noise {size:g}"] = float(correct.mean())
    return found


def _details(whole: xr.Dataset, spectra: Mapping[str, xr.Dataset], *, step: float) -> dict[str, Any]:
    """What is drawn, see `benchmarks.dynamics.plots`."""
    times = (np.arange(1, whole.sizes["step"] + 1) * step).round(9)
    return {
        "time_ms": times.tolist(),
        "accuracy": whole["correct"].values.mean(0).tolist(),
        "entropy": whole["entropy"].values.mean(0).tolist(),
        "spectra": {
            area: [data["real"].values.tolist(), data["imaginary"].values.tolist()] for area, data in spectra.items()
        },
        "trajectories": {area: data["trajectory"].values.round(6).tolist() for area, data in spectra.items()},
        "noise": {
            system: np.nan_to_num(values.mean(-1)).tolist()
            for system, values in zip(whole["system"].values, whole["noise"].values, strict=True)
        },
    }
