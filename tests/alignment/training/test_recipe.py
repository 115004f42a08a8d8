from dataclasses import replace

import numpy as np
import pytest

from alignment.errors import RequestError
from alignment.training.recipe import Recipe, split


def test_the_defaults_are_those_of_the_published_configuration():
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.warm_up_epochs) == (150, 256, 45)
    assert (recipe.learning_rate, recipe.least_learning_rate) == (0.01, 1e-8)
    assert (recipe.momentum, recipe.weight_decay, recipe.padding, recipe.flip) == (0.9, 0.01, 4, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0; give 1 or more"),
        ({"warm_up_epochs": 151}, "warm_up_epochs is 151"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"least_learning_rate": 1.0}, "least_learning_rate is 1.0; give 0 to learning_rate"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"validation": 1.0}, "validation is 1.0"),
        ({"select": "los"}, "unknown select 'los'; did you mean loss"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
    ],
)
def test_settings_out_of_range_are_one_line(change, message):
    with pytest.raises(RequestError, match=message):
        replace(Recipe(), **change)


def test_a_split_is_a_partition_of_the_size_asked_for():
    training, validation = split(1000, validation=0.1)
    assert len(validation) == 100 and sorted([*training, *validation]) == list(range(1000))
    assert (np.diff(training) > 0).all() and (np.diff(validation) > 0).all()
    # spread over the whole, as a random choice is
    assert 35 < (validation < 500).sum() < 65
    assert len(split(1000, validation=0).validation) == 0


@pytest.mark.parametrize(("n", "share"), [(3, 0.1), (1, 0.9)])
def test_a_side_without_images_is_refused(n, share):
    with pytest.raises(RequestError, match="leaves a side empty"):
        split(n, validation=share)
