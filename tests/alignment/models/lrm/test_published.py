"""Loading the published weights, from state dicts of the same keys and shapes that are made here."""

import hashlib
import re

import pytest
import torch

from alignment.errors import DataError
from alignment.models import load_model
from alignment.models.lrm import alexnet_lrm, published
from alignment.models.lrm.published import PUBLISHED, published_weights, renamed

CONVOLUTIONS = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
LINEAR = {1: (4096, 9216), 4: (4096, 4096), 6: (1000, 4096)}
# (source, destination): channels of the source and the destination, shape of the normalisation
BLOCKS = {
    1: {
        ("classifier6", "features8"): (1000, 256, (1000,)),
        ("features9", "features0"): (256, 64, (256, 55, 55)),
    },
    2: {
        ("classifier6", "features10"): (1000, 256, (1000,)),
        ("features12", "features3"): (256, 192, (256, 27, 27)),
    },
    3: {("classifier2", "features6"): (4096, 384, (4096,))},
}


def as_published(variant: int) -> dict[str, torch.Tensor]:
    """Old names: wrapped for parallel training, the backbone under `backbone`, no underscore where the dot was."""
    shapes: dict[str, tuple[int, ...]] = {}
    for kind, layers in (("features", CONVOLUTIONS), ("classifier", LINEAR)):
        for place, shape in layers.items():
            shapes |= {f"backbone.{kind}.{place}.weight": shape, f"backbone.{kind}.{place}.bias": shape[:1]}
    for each in range(1, variant + 1):
        for (source, destination), (inputs, outputs, norm) in BLOCKS[each].items():
            block = f"lrm.{destination}_modulation.from_{source}_to_{destination}"
            shapes |= {
                f"{block}.neg_scale": (1,),
                f"{block}.pos_scale": (1,),
                f"{block}.rescale.norm.weight": norm,
                f"{block}.rescale.norm.bias": norm,
                f"{block}.modulation.weight": (outputs, inputs, 1, 1),
                f"{block}.modulation.bias": (outputs,),
            }
    # a number that tells one from another, without drawing millions
    return {
        f"module.{name}": torch.full(shape, 1e-4 * (1 + place)) for place, (name, shape) in enumerate(shapes.items())
    }


def published_name(name: str) -> str:
    """The name in an old file of a weight here, by another way than the loader's."""
    if name.startswith("feedforward."):
        return f"module.backbone.{name.removeprefix('feedforward.')}"
    return "module." + re.sub(r"(features|classifier)_(\d+)", r"\1\2", name)


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_old_names_become_those_here(variant) -> None:
    state = as_published(variant)
    found = renamed(state)
    own = alexnet_lrm(variant).module.state_dict()
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in own.items()}
    assert all(found[name] is state[published_name(name)] for name in own)
    assert renamed(found) == found


@pytest.mark.parametrize("entry", ["model", "state_dict", None])
def test_loaded_from_a_file(entry, tmp_path) -> None:
    state = as_published(1)
    torch.save(state if entry is None else {entry: state, "epoch": 3}, tmp_path / "old.pth")
    model = load_model("alexnet_lrm1", weights=str(tmp_path / "old.pth"), cache=tmp_path)
    assert model.name == "alexnet_lrm1[weights=old]"
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, state[published_name(name)])


def test_what_does_not_fit_is_named(tmp_path) -> None:
    torch.save(as_published(2), tmp_path / "second.pth")
    with pytest.raises(DataError, match=r"12 unexpected \(lrm.features_10_modulation.from_classifier_6_to_features_10"):
        load_model("alexnet_lrm1", weights=str(tmp_path / "second.pth"), cache=tmp_path)
    with pytest.raises(
        DataError, match=r"6 missing \(lrm.features_6_modulation.from_classifier_2_to_features_6.neg_sc"
    ):
        load_model("alexnet_lrm3", weights=str(tmp_path / "second.pth"), cache=tmp_path)


def test_addresses_and_digits() -> None:
    assert [each.digits for each in PUBLISHED.values()] == ["40b29a3427", "17b4229a30", "63ab1b3b06"]
    for each in PUBLISHED.values():
        assert each.address.startswith(
            "https://s3.us-east-1.wasabisys.com/visionlab-projects/dnn_feedback_dev/logs/set1"
        )
        assert each.address.endswith(f"_2steps_final_weights-{each.digits}.pth") or "stepwise" in each.address


def test_a_file_at_hand_is_checked_and_taken(tmp_path, monkeypatch) -> None:
    torch.save(as_published(1), tmp_path / "weights.pth")
    content = (tmp_path / "weights.pth").read_bytes()
    digits = hashlib.sha256(content).hexdigest()[:10]
    mine = PUBLISHED[1]._replace(file=f"any_final_weights-{digits}.pth")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / mine.file).write_bytes(content)
    assert published_weights(mine, data_root=tmp_path, cache=tmp_path / "cache") == tmp_path / "weights" / mine.file
    monkeypatch.setitem(published.PUBLISHED, 1, mine)
    model = load_model("alexnet_lrm1", data_root=tmp_path, cache=tmp_path / "cache")
    assert model.name == "alexnet_lrm1"
    assert float(model.module.feedforward.features[0].weight.detach()[0, 0, 0, 0]) == pytest.approx(1e-4)
    (tmp_path / "weights" / mine.file).write_bytes(content[:-1])
    with pytest.raises(DataError, match=rf"sha256 does not start with {digits}; delete it and fetch it again$"):
        published_weights(mine, data_root=tmp_path, cache=tmp_path / "cache")


def test_without_network_or_file_one_line_says_where_to_put_it(tmp_path) -> None:
    nowhere = PUBLISHED[1]._replace(folder="nowhere")
    elsewhere = type("Elsewhere", (type(nowhere),), {"address": f"http://127.0.0.1:9/{nowhere.file}"})(*nowhere)
    with pytest.raises(DataError, match=rf"^cannot download http://127.0.0.1:9/.*put the file at .*{nowhere.file}$"):
        published_weights(elsewhere, data_root=None, cache=tmp_path)
