import numpy as np
import pandas as pd
import pytest

from alignment.arrays import average_repetitions, check_responses, responses_array
from alignment.errors import DataError


def test_means_equal_those_of_pandas_with_trials_missing():
    rng = np.random.default_rng(0)
    stimulus = rng.permutation([f"s{i}" for i in range(30) for _ in range(1 + i % 4)])
    values = rng.normal(size=(len(stimulus), 5))
    values[rng.random(values.shape) < 0.1] = np.nan
    mean = average_repetitions(responses_array(values, stimulus=stimulus))
    expected = pd.DataFrame(values.astype(np.float32)).groupby(stimulus, sort=False).mean()
    assert mean["stimulus"].values.tolist() == expected.index.tolist()
    np.testing.assert_allclose(mean.values[..., 0], expected.values, rtol=1e-5, atol=1e-6)
    assert mean["repetitions"].values.tolist() == [(stimulus == name).sum() for name in expected.index]


def test_a_neuroid_without_any_trial_of_a_stimulus_is_nan_there():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, 6.0]])
    mean = average_repetitions(responses_array(values, stimulus=["a", "a", "b"]))
    np.testing.assert_array_equal(mean.values[..., 0], [[2.0, np.nan], [5.0, 6.0]])


def test_repetitions_are_counted_in_order_of_appearance():
    array = responses_array(np.zeros((4, 1)), stimulus=["a", "b", "a", "a"])
    assert array["repetition"].values.tolist() == [0, 0, 1, 2]


def test_the_contract_is_checked_and_the_offender_named():
    array = responses_array(np.zeros((2, 3)), stimulus=["a", "b"])
    with pytest.raises(DataError, match="mine: dims"):
        check_responses(array.transpose("neuroid", "presentation", "time_bin"), name="mine")
    with pytest.raises(DataError, match="no `stimulus`"):
        check_responses(array.drop_vars("stimulus"))
    with pytest.raises(DataError, match="empty"):
        check_responses(array.isel(neuroid=[]))
