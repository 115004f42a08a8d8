"""Moments by class against NumPy's, and the controls."""

import numpy as np
import pytest
import torch

from alignment.errors import RequestError
from alignment.steering import class_moments, one_hot, random_templates


def test_moments_are_those_of_numpy_whatever_the_batches() -> None:
    rng = np.random.default_rng(0)
    # a mean a million times the spread, where a difference of squares would have no digit left
    values = 1e6 * rng.normal(size=(4, 1, 1)).repeat(60, 1).repeat(3, 2) + rng.normal(size=(4, 60, 3))
    flat, classes = values.reshape(-1, 3), np.repeat(np.arange(4), 60)
    order = rng.permutation(len(flat))
    flat, classes = flat[order], classes[order]
    for sizes in ([240], [1, 100, 139], [60] * 4):
        cuts = np.cumsum(sizes)[:-1]
        batches = zip(np.split(flat, cuts), np.split(classes, cuts), strict=True)
        found = class_moments(((torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches), n_classes=5)
        assert found.images.tolist() == [60] * 4 + [0]
        for each in range(4):
            own = flat[classes == each]
            np.testing.assert_allclose(found.mean[each], own.mean(0), rtol=1e-12)
            np.testing.assert_allclose(found.sd[each], own.std(0, ddof=1), rtol=1e-7)
        assert found.mean[4].isnan().all() and found.sd[4].isnan().all()
        with pytest.raises(RequestError, match=r"^templates: no image of class 4 \(1 such\); give some of each$"):
            found.templates()


def test_one_image_has_a_mean_and_no_spread() -> None:
    found = class_moments([(torch.tensor([[[1.0, 2.0]], [[3.0, 5.0]]]), torch.tensor([1, 0]))], n_classes=2)
    assert found.sd.isnan().all()
    assert torch.equal(found.templates(), torch.tensor([[[3.0, 5.0]], [[1.0, 2.0]]]))
    with pytest.raises(RequestError, match=r"^templates: no image; give outputs of some for each class$"):
        class_moments([], n_classes=2)


def test_controls() -> None:
    assert torch.equal(one_hot(3), torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
    drawn = random_templates(50, (1000,), seed=0)
    assert torch.equal(drawn, random_templates(50, (1000,), seed=0))
    assert not torch.equal(drawn, random_templates(50, (1000,), seed=1))
    # independent of the class: off the diagonal and on it alike, and no two alike
    assert abs(float(drawn[:, :50].diagonal().mean())) < 4 / 50**0.5
    products = drawn @ drawn.T / 1000 - torch.eye(50)
    assert float(products.abs().max()) < 0.25
