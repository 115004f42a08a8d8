"""Activations in the store: what is read back is what the network does, and a hit means the same of everything."""

import numpy as np
import pytest
import torch
from torch import nn

from alignment.errors import DataError
from alignment.models.torch_model import TorchModel
from alignment.stimuli import StimulusSet
from benchmarks.fingerprint import PixelDigests
from benchmarks.recordings import Recording, Recordings
from benchmarks.store import Store

MAPS = Recording(pool=None)


def network(seed: int = 0) -> TorchModel:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3))
    return TorchModel(net, name="net", layers=("0", "2"), image_size=(24, 24))


def pictures(n: int = 11) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"s{i:02}": rng.integers(0, 256, (24, 24, 3), dtype=np.uint8) for i in range(n)}


def stimuli(images: dict[str, np.ndarray], **options: object) -> StimulusSet:
    return StimulusSet("set", tuple(images), images.__getitem__, **options)


def recordings(folder, **options) -> Recordings:
    store = Store(folder)
    return Recordings(store, PixelDigests(store), **{"device": "cpu", "batch_size": 4, "block_size": 4, **options})


def test_rows_come_back_in_the_order_asked_for(tmp_path):
    model, shown = network(), stimuli(pictures())
    kept = recordings(tmp_path)
    kept.record(model, shown, model.layers, MAPS)
    ids = ["s07", "s00", "s10", "s03"]
    features = kept.features(model, shown, "2", recording=MAPS, time_bin=0.0, ids=ids)
    with torch.no_grad():
        expected = model.record(shown.pixels(ids), ["2"])["2"].flatten(1)
    assert features.shape == tuple(expected.shape)
    torch.testing.assert_close(features.columns(0, features.shape[1]), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(features.columns(5, 17), expected[:, 5:17], rtol=1e-5, atol=1e-6)


def test_only_missing_blocks_and_layers_are_recorded(tmp_path):
    model, shown = network(), stimuli(pictures())
    kept = recordings(tmp_path)
    assert kept.bytes(model, shown, ("0",), MAPS) == 11 * 4 * 10 * 10 * 4
    kept.record(model, shown, ("0",), MAPS)
    pending = kept.pending(model, shown, ("0", "2"), MAPS)
    assert [(block.ids[0], block.layers) for block in pending] == [("s00", ("2",)), ("s04", ("2",)), ("s08", ("2",))]
    kept.store.path(kept.key(model, shown, ("s04", "s05", "s06", "s07"), "0", MAPS)).unlink()
    assert kept.pending(model, shown, ("0",), MAPS)[0].ids[0] == "s04"
    assert kept.bytes(model, shown, ("0",), MAPS) == 4 * 4 * 10 * 10 * 4


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_block_is_named(tmp_path, number):
    model, shown = network(), stimuli(pictures())
    kept = recordings(tmp_path)
    kept.record(model, shown, ("0",), MAPS)
    path = kept.store.path(kept.key(model, shown, shown.blocks(4)[number], "0", MAPS))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=rf"store entry {path} cannot be read \(.*\); delete it to recompute it"):
        kept.features(model, shown, "0", recording=MAPS, time_bin=0.0, ids=shown.ids).columns(0, 3)


def test_a_key_changes_with_whatever_enters_the_number(tmp_path):
    images = pictures()
    model, shown, kept = network(), stimuli(images), recordings(tmp_path)
    ids = shown.ids[:4]

    def key(model=model, shown=shown, ids=ids, layer="0", recording=MAPS):
        return recordings(tmp_path).key(model, shown, ids, layer, recording)

    assert key() == kept.key(model, shown, ids, "0", MAPS)
    assert key() == key(shown=StimulusSet("another name", shown.ids, shown.read))
    others = {
        "weights": key(model=network(1)),
        "layer": key(layer="2"),
        "stimuli": key(ids=shown.ids[1:5]),
        "order": key(ids=shown.ids[3::-1]),
        "pool": key(recording=Recording(pool=4)),
        "projection": key(recording=Recording(pool=None, projection=8)),
        "precision": key(recording=Recording(pool=None, precision="bfloat16")),
        "degrees": key(shown=stimuli(images, visual_degrees=4.0)),
    }
    changed = {name: image.copy() for name, image in images.items()}
    changed["s02"][0, 0, 0] ^= 1
    others["pixels"] = key(shown=stimuli(changed))
    assert len({key(), *others.values()}) == len(others) + 1


@pytest.mark.parametrize("viewing", ["degrees", "whole"])
def test_whole_images_ignore_degrees(viewing, tmp_path):
    model, images = network(), pictures()
    kept = recordings(tmp_path)
    recording = Recording(pool=None, viewing=viewing)
    shown = stimuli(images, visual_degrees=16.0)
    kept.record(model, shown, ("0",), recording)
    features = kept.features(model, shown, "0", recording=recording, time_bin=0.0, ids=["s01"])
    with torch.no_grad():
        degrees = model.visual_degrees if viewing == "degrees" else None
        pixels = shown.pixels(["s01"], size=model.image_size, visual_degrees=degrees)
        expected = model.record(pixels, ["0"])["0"].flatten(1)
    torch.testing.assert_close(features.columns(0, features.shape[1]), expected, rtol=1e-5, atol=1e-6)


def test_hashes_of_pixels_are_remembered_while_the_files_stay(tmp_path):
    images = pictures()
    source = tmp_path / "images.bin"
    source.write_bytes(b"1")
    reads: list[str] = []

    def read(name: str) -> np.ndarray:
        reads.append(name)
        return images[name]

    shown = StimulusSet("set", tuple(images), read, sources=(source,))
    first = PixelDigests(Store(tmp_path / "store"))
    whole = first.whole(shown)
    assert whole == shown.fingerprint
    first.keep(shown)
    reads.clear()
    assert PixelDigests(Store(tmp_path / "store")).whole(shown) == whole
    assert reads == []
    images["s00"] = images["s00"] ^ 1
    source.write_bytes(b"22")
    assert PixelDigests(Store(tmp_path / "store")).whole(shown) != whole
