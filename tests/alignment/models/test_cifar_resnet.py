import numpy as np
import pytest
import torch

from alignment.errors import DataError
from alignment.models import load_model
from alignment.models.cifar_resnet import RESNET20


def test_published_accuracy(shared_data, tmp_path):
    archive = np.load(shared_data / "cifar10_subset" / "cifar10_subset.npz")
    images = torch.from_numpy(archive["test_images"]).permute(0, 3, 1, 2).float() / 255
    model = load_model("cifar_resnet20", data_root=shared_data, cache=tmp_path)
    with torch.no_grad():
        predicted = torch.cat([model.logits(batch)[:, 0].argmax(1) for batch in images.split(250)])
    assert np.mean(predicted.numpy() == archive["test_labels"]) == pytest.approx(0.915, abs=0.002)
    assert list(archive["names"]) == list(model.classes)


def test_the_other_published_file_fits(shared_data, tmp_path):
    model = load_model("cifar_resnet56", data_root=shared_data, cache=tmp_path)
    assert sum(weight.numel() for weight in model.module.parameters()) == pytest.approx(0.85e6, rel=0.02)


@pytest.mark.parametrize(("name", "parameters"), [("cifar_resnet20", 0.27e6), ("cifar_resnet56", 0.85e6)])
def test_sizes_of_the_paper(tmp_path, name, parameters):
    model = load_model(name, weights="none", cache=tmp_path)
    assert sum(weight.numel() for weight in model.module.parameters()) == pytest.approx(parameters, rel=0.02)
    assert model.layers[0] == "layer1.0" and model.layers[-1] == "avgpool"


def test_another_file_under_the_published_name_is_refused(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / RESNET20.name).write_bytes(b"something else")
    with pytest.raises(DataError, match="sha256"):
        load_model("cifar_resnet20", data_root=tmp_path, cache=tmp_path / "cache")
