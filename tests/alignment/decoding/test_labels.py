"""Labels read by support vector machines, against scikit-learn on the features themselves and against closed forms."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from alignment.decoding import PUBLISHED, STANDARDISED, Decoder, decode, permuted, read_out, stratified_folds
from alignment.encoding import TensorFeatures
from alignment.errors import DataError, RequestError

N, WIDE = 120, 700


@pytest.fixture(scope="module")
def wide() -> tuple[np.ndarray, np.ndarray]:
    """More units than stimuli, five classes that overlap, a common level that inner products see."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 5
    centres = rng.normal(size=(5, WIDE))
    return 0.15 * centres[labels] + rng.normal(size=(N, WIDE)) * rng.uniform(0.5, 2, WIDE) + 3.0, labels


def folds_of(labels: np.ndarray, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    ids = [f"s{number}" for number in range(len(labels))]
    inner = [stratified_folds(labels, ids, n=3, name=f"inner {fold}") for fold in range(n)]
    return stratified_folds(labels, ids, n=n), np.stack(inner)


def test_few_axes_give_the_answers_of_the_features_themselves(wide) -> None:
    x, labels = wide
    train, test = np.arange(80), np.arange(80, N)
    machine = LinearSVC(dual=True, random_state=0, max_iter=1000).fit(x[train], labels[train])
    found = decode(torch.from_numpy(x), labels, train=train, test=test)
    np.testing.assert_array_equal(found.predicted, machine.predict(x[test]))
    assert found.converged
    assert 0.25 < (found.predicted == labels[test]).mean() < 1


def test_scaled_units_give_the_answers_of_a_standard_scaler(wide) -> None:
    x, labels = wide
    train, test = np.arange(80), np.arange(80, N)
    scaler = StandardScaler().fit(x[train])
    machine = LinearSVC(dual=True, random_state=0, max_iter=10_000).fit(scaler.transform(x[train]), labels[train])
    found = decode(torch.from_numpy(x), labels, train=train, test=test, decoder=STANDARDISED)
    np.testing.assert_array_equal(found.predicted, machine.predict(scaler.transform(x[test])))


def test_a_near_dead_unit_is_not_blown_up() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(100) % 2
    x = rng.normal(size=(100, 5)) + labels[:, None]
    # silent in training, and far from it in a few test stimuli
    dead = np.zeros(100)
    dead[:2], dead[90:] = 1e-6, 0.2 * (1 - 2 * labels[90:])
    train, test = np.arange(80), np.arange(80, 100)
    without = decode(torch.from_numpy(x), labels, train=train, test=test, decoder=STANDARDISED)
    with_it = decode(torch.from_numpy(np.column_stack([x, dead])), labels, train=train, test=test, decoder=STANDARDISED)
    np.testing.assert_array_equal(without.predicted, with_it.predicted)
    scaler = StandardScaler().fit(np.column_stack([x, dead])[train])
    assert np.abs(scaler.transform(np.column_stack([x, dead])[test])).max() > 1e5


def test_two_normal_classes_are_told_apart_as_often_as_theory_says() -> None:
    rng = np.random.default_rng(2)
    n, separation = 6000, 2.0
    labels = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 4))
    x[:, 0] += separation * (labels - 0.5)
    found = decode(torch.from_numpy(x), labels, train=np.arange(3000), test=np.arange(3000, n))
    # the best any read-out can do: Phi(d' / 2)
    expected = stats.norm.cdf(separation / 2)
    assert (found.predicted == labels[3000:]).mean() == pytest.approx(
        expected, abs=3 * np.sqrt(expected * (1 - expected) / 3000)
    )


@pytest.mark.parametrize(("classes", "n"), [(2, 400), (20, 400)])
def test_permuted_labels_are_read_at_chance(classes, n) -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(n) % classes
    x = torch.from_numpy(rng.normal(size=(n, 60)) + 4 * rng.normal(size=(classes, 60))[labels])
    true, dealt = labels[:, None], permuted(labels[:, None], "test", seed=1)
    folds, inner = folds_of(labels)
    assert (read_out(x, true, folds=folds, inner=inner).predicted == true).mean() > 0.95
    chance = (read_out(x, dealt, folds=folds, inner=inner).predicted == dealt).mean()
    # fits share training stimuli, which widens the spread of their mean
    assert chance == pytest.approx(1 / classes, abs=4 * np.sqrt(1 / classes * (1 - 1 / classes) / n))


def test_a_read_out_is_every_fold_by_itself(wide) -> None:
    x, labels = wide
    two = np.column_stack([labels, labels % 2])
    folds, inner = folds_of(labels)
    found = read_out(torch.from_numpy(x), two, folds=folds, inner=inner)
    for fold in range(4):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        for variable in range(2):
            machine = LinearSVC(dual=True, random_state=0).fit(x[train], two[train, variable])
            np.testing.assert_array_equal(found.predicted[test, variable], machine.predict(x[test]))
            right = []
            for part in range(3):
                fitted, judged = train[inner[fold, train] != part], train[inner[fold, train] == part]
                machine = LinearSVC(dual=True, random_state=0).fit(x[fitted], two[fitted, variable])
                right.append(machine.predict(x[judged]) == two[judged, variable])
            assert found.choice[fold, variable] == pytest.approx(np.concatenate(right).mean())


def test_the_choice_looks_at_no_held_out_label(wide) -> None:
    x, labels = wide
    folds, inner = folds_of(labels)
    before = read_out(torch.from_numpy(x), labels[:, None], folds=folds, inner=inner)
    spoilt = labels.copy()
    spoilt[folds == 0] = 0
    after = read_out(torch.from_numpy(x), spoilt[:, None], folds=folds, inner=inner)
    assert after.choice[0] == before.choice[0]
    np.testing.assert_array_equal(after.predicted[folds == 0], before.predicted[folds == 0])
    assert (after.choice[1:] != before.choice[1:]).any()


def test_features_can_be_read_by_columns(wide) -> None:
    x, labels = wide
    folds, inner = folds_of(labels)
    for decoder in (PUBLISHED, STANDARDISED):
        whole, by_columns = (
            read_out(source, labels[:, None], folds=folds, inner=inner, decoder=decoder)
            for source in (torch.from_numpy(x), TensorFeatures(torch.from_numpy(x)))
        )
        np.testing.assert_array_equal(whole.predicted, by_columns.predicted)


def test_a_fit_that_stops_short_says_so() -> None:
    rng = np.random.default_rng(4)
    x = torch.from_numpy(1000 * rng.normal(size=(200, 3)))
    labels = rng.integers(0, 2, 200)[:, None]
    folds, inner = folds_of(labels)
    assert read_out(x, labels, folds=folds, inner=inner, decoder=Decoder(iterations=3)).n_stopped.tolist() == [4]


def test_a_layer_that_does_not_vary_says_one_label() -> None:
    labels = np.array([0] * 9 + [1] * 3)
    for decoder in (PUBLISHED, STANDARDISED):
        found = decode(torch.ones(12, 40), labels, train=np.arange(2, 11), test=np.array([0, 1, 11]), decoder=decoder)
        assert found.predicted.tolist() == [0, 0, 0]


def test_faults_are_said_in_one_line() -> None:
    x = torch.zeros(4, 2)
    with pytest.raises(RequestError, match="a stimulus is in train and in test"):
        decode(x, [0, 1, 0, 1], train=[0, 1], test=[1, 2])
    with pytest.raises(RequestError, match=r"labels are int64 \(3,\): give whole numbers \(stimulus\) to 4 stimuli"):
        decode(x, [0, 1, 0], train=[0, 1], test=[2])
    with pytest.raises(DataError, match="all of one label"):
        decode(x, [0, 0, 1, 1], train=[0, 1], test=[2])
    with pytest.raises(DataError, match="NaN or an infinity"):
        decode(x.fill_(torch.nan), [0, 1, 0, 1], train=[0, 1], test=[2])
    with pytest.raises(RequestError, match="decoder with c=0"):
        Decoder(c=0)
    with pytest.raises(RequestError, match="scale of a decoder 'z'"):
        Decoder(scale="z")
    with pytest.raises(RequestError, match=r"inner folds \(1, 4\) are not those of 2 folds"):
        read_out(torch.zeros(4, 2), np.zeros((4, 1), int), folds=[0, 1, 0, 1], inner=[[0, 0, 1, 1]])
