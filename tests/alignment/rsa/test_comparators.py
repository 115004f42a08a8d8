"""Comparators against rsatoolbox and SciPy, on random, tied and incomplete RDMs, and on published numbers."""

from pathlib import Path

import numpy as np
import pytest
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from rsatoolbox.rdm import compare as toolbox_compare
from scipy import stats
from scipy.io import loadmat

from alignment.errors import DataError, RequestError
from alignment.rsa import RDMs
from alignment.rsa.comparators import COMPARATORS, compare, midranks

TOOLBOX = {
    "pearson": "corr",
    "spearman": "spearman",
    "kendall-tau-a": "tau-a",
    "rho-a": "rho-a",
    "cosine": "cosine",
    "whitened-cosine": "cosine_cov",
    "whitened-pearson": "corr_cov",
}
COUNT = 12
NAMES = tuple(f"s{number:02d}" for number in range(COUNT))
PAIRS = COUNT * (COUNT - 1) // 2


def draw(n: int, *, seed: int = 0, values: str = "random", dtype: type = np.float64) -> np.ndarray:
    vectors = np.random.default_rng(seed).random((n, PAIRS)) + 0.3
    vectors = {
        "random": vectors,
        "tied": vectors.round(1),
        "categories": (vectors > 0.8).astype(float),
        "incomplete": vectors,
    }[values].astype(dtype)
    if values == "incomplete":
        vectors[:, [0, 5, 17, 40]] = np.nan
    return vectors


def errors() -> np.ndarray:
    mixing = np.random.default_rng(5).standard_normal((COUNT, 40))
    return mixing @ mixing.T / 40


def test_every_comparator_has_a_reference() -> None:
    assert set(TOOLBOX) == set(COMPARATORS)


@pytest.mark.parametrize("comparator", COMPARATORS)
@pytest.mark.parametrize("values", ["random", "tied", "categories", "incomplete"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_comparators_are_those_of_rsatoolbox(comparator: str, values: str, dtype: type) -> None:
    x, y = draw(3, values=values, dtype=dtype), draw(4, seed=1, values=values, dtype=dtype)
    y[0, ~np.isnan(y[0])] *= -1
    found = compare(RDMs(x, NAMES), RDMs(y, NAMES), comparator=comparator)
    theirs = toolbox_compare(x.astype(np.float64), y.astype(np.float64), method=TOOLBOX[comparator])
    assert found.shape == (3, 4)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("comparator", ["whitened-cosine", "whitened-pearson"])
@pytest.mark.parametrize("values", ["random", "tied", "incomplete"])
def test_whitening_by_a_given_covariance(comparator: str, values: str) -> None:
    x, y, sigma = draw(3, values=values), draw(4, seed=1, values=values), errors()
    found = compare(RDMs(x, NAMES), RDMs(y, NAMES), comparator=comparator, sigma=sigma)
    # rsatoolbox stops conjugate gradients at a residual of 1e-5
    theirs = toolbox_compare(ToolboxRDMs(x), ToolboxRDMs(y), method=TOOLBOX[comparator], sigma_k=sigma)
    np.testing.assert_allclose(found, theirs, rtol=0, atol=3e-5)
    kept = ~np.isnan(x[0])
    rows, columns = np.triu_indices(COUNT, k=1)
    contrasts = (np.eye(COUNT)[rows] - np.eye(COUNT)[columns])[kept]
    inverse = np.linalg.inv((contrasts @ sigma @ contrasts.T) ** 2)
    a, b = x[:, kept], y[:, kept]
    if comparator == "whitened-pearson":
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    lengths = [np.sqrt(np.einsum("ij,jk,ik->i", v, inverse, v)) for v in (a, b)]
    np.testing.assert_allclose(found, a @ inverse @ b.T / np.outer(*lengths), rtol=0, atol=1e-9)


def test_a_multiple_of_the_identity_is_no_covariance_at_all() -> None:
    a, b = RDMs(draw(2), NAMES), RDMs(draw(2, seed=1), NAMES)
    plain = compare(a, b, comparator="whitened-cosine")
    np.testing.assert_allclose(compare(a, b, comparator="whitened-cosine", sigma=3 * np.eye(COUNT)), plain, atol=1e-12)


def test_tau_a_counts_pairs() -> None:
    x, y = draw(1, values="tied")[0], draw(1, seed=1, values="tied")[0]
    signs = [np.sign(np.subtract.outer(v, v)) for v in (x, y)]
    expected = (signs[0] * signs[1]).sum() / (PAIRS * (PAIRS - 1))
    found = compare(RDMs(x[None], NAMES), RDMs(y[None], NAMES), comparator="kendall-tau-a")
    assert found.item() == pytest.approx(expected, abs=1e-14)


def test_tau_a_and_ranks_of_many_pairs_are_those_of_rsatoolbox() -> None:
    random = np.random.default_rng(3)
    count = 300
    names = tuple(map(str, range(count)))
    x = random.random((2, count * (count - 1) // 2)).round(3)
    y = (x[:1] + random.random(x[:1].shape)).round(2)
    for comparator in ("kendall-tau-a", "spearman", "rho-a"):
        found = compare(RDMs(x, names), RDMs(y, names), comparator=comparator)
        np.testing.assert_allclose(found, toolbox_compare(x, y, method=TOOLBOX[comparator]), rtol=0, atol=1e-12)


def test_rho_a_is_the_mean_over_ways_to_break_ties() -> None:
    random = np.random.default_rng(4)
    x, y = draw(1, values="categories")[0], draw(1, seed=1, values="tied")[0]
    broken = [stats.spearmanr(*(v + 1e-6 * random.random(PAIRS) for v in (x, y))).statistic for _ in range(3000)]
    found = compare(RDMs(x[None], NAMES), RDMs(y[None], NAMES), comparator="rho-a").item()
    assert abs(np.mean(broken) - found) < 4 * np.std(broken) / np.sqrt(len(broken))


@pytest.mark.parametrize("values", ["random", "tied", "categories"])
def test_midranks_are_those_of_scipy(values: str) -> None:
    x = draw(5, values=values)
    x[1, 0] = -0.0
    x[1, 1] = 0.0
    np.testing.assert_array_equal(midranks(x), stats.rankdata(x, axis=1))


@pytest.mark.parametrize("comparator", COMPARATORS)
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_rdm_without_geometry_gets_0(comparator: str, constant: float, dtype: type) -> None:
    flat = np.full((1, PAIRS), constant, dtype)
    found = compare(RDMs(np.concatenate([flat, draw(1)]), NAMES), RDMs(draw(2, seed=1), NAMES), comparator=comparator)
    angle_to_a_constant_is_defined = "cosine" in comparator and constant
    assert ((found[0] == 0) != bool(angle_to_a_constant_is_defined)).all()
    assert (found[1] != 0).all()


def test_stimuli_are_matched_by_id() -> None:
    a = RDMs(draw(2), NAMES)
    mixed = [NAMES[i] for i in np.random.default_rng(6).permutation(COUNT)]
    b = RDMs(draw(2, seed=1), NAMES)
    for comparator in COMPARATORS:
        found = compare(a, b.select(mixed), comparator=comparator)
        np.testing.assert_allclose(found, compare(a, b, comparator=comparator), rtol=0, atol=1e-13)


def test_what_cannot_be_compared_is_named_in_one_line() -> None:
    a, b = RDMs(draw(1), NAMES), RDMs(draw(1, values="incomplete"), NAMES)
    others = RDMs(draw(1), (*NAMES[:-1], "t99"))
    with pytest.raises(DataError, match="'s11' is in one of the two only \\(2 such\\)"):
        compare(a, others, comparator="spearman")
    with pytest.raises(DataError, match="4 pairs are NaN in one of the two only"):
        compare(a, b, comparator="spearman")
    with pytest.raises(DataError, match="1 pair was measured"):
        one = RDMs(np.array([[1.0, np.nan, np.nan]]), ("a", "b", "c"))
        compare(one, one, comparator="rho-a")
    with pytest.raises(RequestError, match="unknown comparator 'sperman'; did you mean spearman"):
        compare(a, a, comparator="sperman")
    with pytest.raises(RequestError, match="takes no sigma: it goes with whitened-cosine or whitened-pearson"):
        compare(a, a, comparator="cosine", sigma=np.eye(COUNT))
    with pytest.raises(RequestError, match=r"sigma is \(3, 3\)"):
        compare(a, a, comparator="whitened-cosine", sigma=np.eye(3))


def test_published_models_on_human_it(shared_data: Path) -> None:
    folder = shared_data / "kriegeskorte2008"
    brains = loadmat(folder / "92_brainRDMs.mat")["RDMs"][0]
    models = {str(m["name"][0]): m["RDM"] for m in loadmat(folder / "92_modelRDMs.mat")["Models"].ravel()}
    names = tuple(map(str, range(92)))
    people = RDMs.from_squares(
        np.stack([np.mean([cell["RDM"] for cell in person], axis=0) for person in brains]), stimuli=names
    )
    published = {
        "animacy": (0.386220, 0.334462),
        "FaceBodyManmadeNatobj": (0.276596, 0.205324),
        "monkeyIT": (0.296324, 0.296324),
        "HMAX": (0.159868, 0.159868),
        "RADON": (0.038094, 0.038094),
    }
    for name, (spearman, rho_a) in published.items():
        model = RDMs.from_squares(models[name].astype(float), stimuli=names)
        assert compare(people, model, comparator="spearman").mean() == pytest.approx(spearman, abs=1e-6)
        assert compare(people, model, comparator="rho-a").mean() == pytest.approx(rho_a, abs=1e-6)


def test_published_agreement_of_monkey_and_human_it(shared_data: Path) -> None:
    file = shared_data / "kriegeskorte2008" / "Kriegeskorte_Neuron2008_supplementalData.mat"
    monkey, human = (
        RDMs(entry["RDM"], stimuli=tuple(map(str, range(92)))) for entry in loadmat(file)["RDMs_mIT_hIT_fig1"].ravel()
    )
    for comparator, published in (("pearson", 0.491210), ("spearman", 0.438924)):
        assert compare(monkey, human, comparator=comparator).item() == pytest.approx(published, abs=1e-6)
