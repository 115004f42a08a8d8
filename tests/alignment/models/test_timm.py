"""Networks of timm, without their published weights."""

import pytest
import torch

from alignment.errors import RequestError
from alignment.models import check_model, describe_model, load_model


def test_timm_is_named_when_it_is_not_installed(tmp_path, monkeypatch):
    from alignment.models import timm

    monkeypatch.setattr(timm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install brain-alignment-bench\[timm\]"):
        load_model("timm/vit_tiny_patch16_224", cache=tmp_path)
    assert len(check_model("timm/vit_tiny_patch16_224", cache=tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "last"), [("test_resnet", "layer4"), ("resnet10t", "layer4"), ("test_vit", "blocks.5")]
)
def test_activations_are_those_of_timm(name, last, tmp_path):
    timm = pytest.importorskip("timm", reason="timm is not installed (pip install brain-alignment-bench[timm])")
    model = load_model(f"timm/{name}", weights="none", cache=tmp_path)
    same = load_model(f"timm/{name}", weights="none", cache=tmp_path)
    other = load_model(f"timm/{name}", weights="none", seed=1, cache=tmp_path)
    assert (model.name, other.name) == (f"timm/{name}[weights=none]", f"timm/{name}[weights=none,seed=1]")
    assert model.fingerprint == same.fingerprint != other.fingerprint

    data = timm.data.resolve_model_data_config(timm.create_model(name))
    assert model.image_size == data["input_size"][1:]
    pixels = torch.rand(2, 3, *model.image_size, generator=torch.Generator().manual_seed(0))
    mean, sd = (torch.tensor(data[key]).view(3, 1, 1) for key in ("mean", "std"))
    twin = timm.create_model(name).eval()
    twin.load_state_dict(model.module.state_dict())
    with torch.no_grad():
        recorded = model.record(pixels, model.layers)
        torch.testing.assert_close(model.logits(pixels)[:, 0], twin((pixels - mean) / sd))
        _, stages = twin.forward_intermediates((pixels - mean) / sd, norm=False)
    assert list(recorded) == list(model.layers) and all(value.isfinite().all() for value in recorded.values())
    # transformers: (batch, token, feature) here, a map without the class token there
    found = recorded[last][:, 0]
    as_map = found if found.ndim == 4 else found[:, -stages[-1][0, 0].numel() :].mT.reshape(stages[-1].shape)
    torch.testing.assert_close(as_map, stages[-1])


def test_description_and_faults(tmp_path):
    pytest.importorskip("timm", reason="timm is not installed (pip install brain-alignment-bench[timm])")
    described = describe_model("timm/test_resnet", weights="none", cache=tmp_path)
    loaded = load_model("timm/test_resnet", weights="none", cache=tmp_path)
    assert described.name == loaded.name and tuple(described.shapes) == loaded.layers
    assert described.parameters == sum(weight.numel() for weight in loaded.module.parameters())
    for name in ("load", "describe"):
        call = {"load": load_model, "describe": describe_model}[name]
        with pytest.raises(RequestError, match=r"unknown timm model .*did you mean .*resnet10t"):
            call("timm/resnet10", cache=tmp_path)
