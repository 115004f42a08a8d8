"""Nothing about the stimuli a split holds out may reach the score by which its layer is chosen."""

import numpy as np
import pytest
import torch

from benchmarks.neural.matched import best_unit, one_to_one
from benchmarks.neural.predicting import Predicting
from benchmarks.neural.regressions import Ridge, pcr, pls
from benchmarks.neural.reverse import Reverse
from benchmarks.neural.soft import SoftMatching
from benchmarks.neural.target import Target

STRATEGIES = {
    "ridge": Predicting(Ridge()),
    "ridge-kfold": Predicting(Ridge("kfold")),
    "pls": Predicting(pls(5)),
    "pcr": Predicting(pcr(5)),
    "one-to-one": Predicting(one_to_one()),
    "best-unit": Predicting(best_unit(20)),
    "soft-matching": SoftMatching(20),
    "reverse": Reverse(Ridge(), 20),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_held_out_stimuli_do_not_reach_the_choice_of_a_layer(name, target_of, shown):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 4)).astype(np.float32)
    x = (y @ rng.normal(size=(4, 30)) + rng.normal(size=(60, 30))).astype(np.float32)

    def measured(x: np.ndarray, y: np.ndarray):
        whole = target_of(y)
        target = Target(whole.subject, whole.responses, whole.splits[:1])
        return target, STRATEGIES[name].measure([torch.from_numpy(x)], target, shown=shown)[0]

    target, before = measured(x, y)
    train, test = (rows.numpy() for rows in target.rows(target.splits[0]))
    other_x, other_y = x.copy(), y.copy()
    other_x[test], other_y[test] = rng.normal(size=(len(test), 30)), 5 * rng.normal(size=(len(test), 4))
    after = measured(other_x, other_y)[1]
    np.testing.assert_array_equal(after["cv_score"].values, before["cv_score"].values)
    assert not np.allclose(after["r"].values, before["r"].values, atol=0.01)
    other_x[train[0]] += 3
    changed = measured(other_x, other_y)[1]
    assert not np.allclose(changed["cv_score"].values, before["cv_score"].values, atol=1e-4)
