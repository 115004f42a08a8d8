"""Ridge against the fastest peers, in one process with the same threads: `python -m tests.performance.ridge`.

Features have a power-law spectrum, as activations do, or a flat one for comparison; neuroids mixed signal to noise.
"""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from himalaya.backend import set_backend
from himalaya.kernel_ridge import KernelRidgeCV
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from sklearn.linear_model import RidgeCV
from torch import Tensor

from alignment.encoding import fit_ridge, gram_equivalent

Row = tuple[str, float, str]

PEAK = """
import torch
from alignment.encoding import fit_ridge
from benchmarks.provenance import peak_memory
g = torch.Generator().manual_seed(0)
x = torch.randn(1000, 200_000, generator=g)
y = torch.randn(1000, 5000, generator=g)
fit = fit_ridge(x, y, alphas=torch.logspace(-4, 4, 17))
fit.predict(x[:100])
print(peak_memory())
"""


def measure() -> list[Row]:
    """Every figure with its target."""
    rows = []
    for name, decay in (("power law", 1.0), ("isotropic", 0.0)):
        rows += folds(name, decay=decay)
        rows += leave_one_out(name, decay=decay)
    return [*rows, memory()]


def data(n: int, p: int, t: int, *, decay: float) -> tuple[Tensor, Tensor]:
    """Features `(stimulus, unit)` and responses `(stimulus, neuroid)`, float32; signal is 0 to 90 % of the variance."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, p, generator=g) * torch.arange(1, p + 1) ** (-decay / 2)
    signal = x @ torch.randn(p, t, generator=g)
    share = 0.9 * torch.rand(t, generator=g)
    return x, signal / signal.std(0) * share.sqrt() + torch.randn(n, t, generator=g) * (1 - share).sqrt()


def folds(name: str, *, decay: float) -> list[Row]:
    """Five folds, an alpha per neuroid, coefficients formed by all, himalaya's default criterion."""
    x, y = data(4000, 1000, 8000, decay=decay)
    relative = np.logspace(-4, 4, 10)
    labels = torch.arange(4000) // 800  # what himalaya's cv=5 does
    unit = float((x - x.mean(0)).double().square().sum()) / 4000
    alphas = torch.as_tensor(relative * unit, dtype=torch.float32)
    set_backend("torch")
    calls: list[Callable[[], object]] = [
        lambda: fit_ridge(x, y, alphas=relative, selection="kfold", folds=labels, coefficients=True),
        lambda: HimalayaRidgeCV(alphas=alphas, fit_intercept=True, cv=5).fit(x, y),
        lambda: KernelRidgeCV(alphas=alphas, fit_intercept=True, cv=5).fit(x, y),
    ]
    ours, ridge, kernel = fastest(calls, repeats=(3, 1, 1))
    fit = fit_ridge(x, y, alphas=relative, selection="kfold", folds=labels)
    curves = folds_in_float64(x.double(), y.double(), alphas=relative * unit, labels=labels)
    chosen = torch.searchsorted(torch.as_tensor(relative), fit.alphas - 1e-12)
    best, index = curves.min(0)
    loss = curves.gather(0, chosen[None])[0] / best - 1
    case = f"ridge, 5 folds, n=4000 p=1000 t=8000, 10 alphas, {name}"
    return [
        (f"{case}: seconds", ours, ""),
        (f"{case}: times faster than himalaya RidgeCV", ridge / ours, ">= 4"),
        (f"{case}: times faster than himalaya KernelRidgeCV", kernel / ours, ">= 4"),
        (f"{case}: alphas equal to float64, %", 100 * float((chosen == index).double().mean()), ">= 99.5"),
        (f"{case}: largest loss of the others", float(loss.max()), "<= 1e-4"),
    ]


def leave_one_out(name: str, *, decay: float) -> list[Row]:
    """Against scikit-learn on the design that has the Gram matrix of the features, as Brain-Score does it."""
    x, y = data(800, 20_000, 6000, decay=decay)
    relative = np.logspace(-4, 4, 99)
    unit = float((x - x.mean(0)).double().square().sum()) / 800
    design = gram_equivalent(x)
    square = torch.hstack([design, torch.zeros(800, 800 - design.shape[1])]).numpy()
    peer = RidgeCV(alphas=relative * unit, alpha_per_target=True)
    calls: list[Callable[[], object]] = [
        lambda: fit_ridge(x, y, alphas=relative),
        lambda: fit_ridge(x, y, alphas=relative, selection="gcv"),
        lambda: fit_ridge(design, y, alphas=relative, selection="gcv"),
        lambda: peer.fit(square, y.double().numpy()),
    ]
    loo, gcv, gcv_design, theirs = fastest(calls, repeats=(3, 3, 3, 1))
    equal = np.isclose(fit_ridge(x, y, alphas=relative).alphas * unit, peer.alpha_)
    agree = np.isclose(fit_ridge(x, y, alphas=relative, selection="gcv").alphas * unit, peer.alpha_)
    case = f"ridge, n=800 p=20000 t=6000, 99 alphas, {name}"
    return [
        (f"{case}: seconds, leave-one-out", loo, ""),
        (
            f"{case}: leave-one-out from features, times faster than scikit-learn's from the design",
            theirs / loo,
            ">= 4",
        ),
        (f"{case}: leave-one-out alphas equal to scikit-learn's, %", 100 * float(equal.mean()), ">= 99.9"),
        (f"{case}: seconds, GCV", gcv, ""),
        (f"{case}: GCV from features, times faster than scikit-learn's from the design", theirs / gcv, ">= 30"),
        (f"{case}: GCV from the design, times faster than scikit-learn from it", theirs / gcv_design, ">= 30"),
        (f"{case}: GCV alphas equal to leave-one-out's, %", 100 * float(agree.mean()), "reported"),
    ]


def memory() -> Row:
    """Peak resident memory of a process that makes the features (0.8 GB), fits and predicts."""
    out = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True).stdout
    return ("ridge, n=1000 p=200000 t=5000: peak memory, GB", int(out) / 1e9, "< 4")


def fastest(calls: Sequence[Callable[[], object]], *, repeats: Sequence[int]) -> list[float]:
    """Shortest wall time of each call in seconds; rounds are interleaved, so that all meet the same machine."""
    times = [float("inf")] * len(calls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for turn in range(max(repeats)):
            for i, call in enumerate(calls):
                if turn < repeats[i]:
                    start = time.perf_counter()
                    call()
                    times[i] = min(times[i], time.perf_counter() - start)
    return times


def folds_in_float64(x: Tensor, y: Tensor, *, alphas: np.ndarray, labels: Tensor) -> Tensor:
    """The criterion by refitting, `(alpha, neuroid)`: a linear solve per fold and alpha, nothing shared."""
    curves = torch.zeros(len(alphas), y.shape[1], dtype=torch.float64)
    for label in labels.unique():
        train, test = labels != label, labels == label
        x_mean, y_mean = x[train].mean(0), y[train].mean(0)
        design = x[train] - x_mean
        gram, inner = design.T @ design, design.T @ (y[train] - y_mean)
        for j, alpha in enumerate(alphas):
            hat = torch.linalg.solve(gram + alpha * torch.eye(len(gram), dtype=torch.float64), (x[test] - x_mean).T).T
            curves[j] += (y[test] - y_mean - hat @ inner).square().mean(0) / len(labels.unique())
    return curves


if __name__ == "__main__":
    for title, figure, target in measure():
        print(f"{title:<110} {figure:10.4g}  {target}")
