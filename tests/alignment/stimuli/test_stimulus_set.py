import numpy as np
import pytest
import torch
from PIL import Image

from alignment.errors import DataError, RequestError
from alignment.stimuli import StimulusSet


def stimuli(n=6, shape=(40, 60), **options):
    rng = np.random.default_rng(0)
    images = {f"s{i}": rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for i in range(n)}
    return StimulusSet("set", tuple(images), images.__getitem__, **options), images


def test_resizing_is_pillow_s_bilinear_to_a_grey_level():
    made, images = stimuli()
    ours = made.pixels(["s1"], size=(16, 24))[0].permute(1, 2, 0).numpy() * 255
    theirs = np.asarray(Image.fromarray(images["s1"]).resize((24, 16), Image.Resampling.BILINEAR), dtype=float)
    assert np.abs(ours - theirs).max() <= 1.0


def test_pixels_do_not_depend_on_which_images_share_a_call():
    made, _ = stimuli()
    together = made.pixels(made.ids, size=(16, 24))
    apart = torch.cat([made.pixels([name], size=(16, 24)) for name in made.ids])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-6)


def test_a_smaller_field_of_view_crops_the_centre():
    made, images = stimuli(visual_degrees=8.0)
    cropped = made.pixels(["s0"], visual_degrees=4.0)
    np.testing.assert_allclose(cropped[0].permute(1, 2, 0) * 255, images["s0"][10:30, 15:45], atol=1e-4)


def test_a_larger_field_of_view_pads_with_grey():
    made, images = stimuli(visual_degrees=8.0)
    padded = made.pixels(["s0"], visual_degrees=16.0)
    assert padded.shape == (1, 3, 80, 120)
    np.testing.assert_allclose(padded[0, :, 20:60, 30:90].permute(1, 2, 0) * 255, images["s0"], atol=1e-4)
    assert (padded[0, :, :20] == 0.5).all()


def test_unknown_degrees_show_the_whole_image():
    made, _ = stimuli()
    torch.testing.assert_close(made.pixels(["s0"], visual_degrees=4.0), made.pixels(["s0"]))


def test_the_fingerprint_follows_ids_order_pixels_and_degrees():
    made, images = stimuli()
    assert made.fingerprint == StimulusSet("other name", made.ids, made.read).fingerprint
    assert made.fingerprint != StimulusSet("set", made.ids[::-1], made.read).fingerprint
    assert made.fingerprint != StimulusSet("set", made.ids, made.read, visual_degrees=8.0).fingerprint
    renamed = {f"t{name}": image for name, image in images.items()}
    assert made.fingerprint != StimulusSet("set", tuple(renamed), renamed.__getitem__).fingerprint
    images["s3"][0, 0, 0] ^= 1
    assert made.fingerprint != StimulusSet("set", made.ids, made.read).fingerprint


def test_blocks_keep_order_and_do_not_straddle_groups():
    made, _ = stimuli(n=7, groups=(3, 4))
    assert made.blocks(2) == [("s0", "s1"), ("s2",), ("s3", "s4"), ("s5", "s6")]
    assert made.blocks(2, ["s5", "s0", "s2"]) == [("s0", "s2"), ("s5",)]


def test_faults_are_named():
    made, images = stimuli()
    with pytest.raises(DataError, match="not unique"):
        StimulusSet("set", ("a", "a"), images.__getitem__)
    with pytest.raises(RequestError, match="no stimulus 'x'"):
        made.select(["x"])
    mixed = {"a": np.zeros((4, 4, 3), np.uint8), "b": np.zeros((5, 4, 3), np.uint8)}
    with pytest.raises(RequestError, match="differ in size"):
        StimulusSet("set", ("a", "b"), mixed.__getitem__).pixels(["a", "b"])
    with pytest.raises(DataError, match="expected uint8"):
        StimulusSet("set", ("a",), lambda _: np.zeros((4, 4, 3))).image("a")


def test_grey_images_become_rgb():
    grey = {"a": np.arange(16, dtype=np.uint8).reshape(4, 4)}
    assert StimulusSet("set", ("a",), grey.__getitem__).pixels(["a"]).shape == (1, 3, 4, 4)
