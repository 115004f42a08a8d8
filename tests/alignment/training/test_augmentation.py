import numpy as np
import torch
from torchvision.transforms import functional as TF

from alignment.training.augmentation import Draws, draw, shift_and_flip


def test_shifts_and_flips_are_those_of_torchvision():
    images = torch.randint(0, 256, (40, 9, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    draws = draw(40, epoch=2, padding=3, flip=True, seed=0)
    found = shift_and_flip(images, draws)
    for image, (down, right), flipped, own in zip(images, draws.shifts, draws.flips, found, strict=True):
        padded = TF.pad(image.permute(2, 0, 1), [3, 3])
        expected = TF.crop(padded, 3 + int(down), 3 + int(right), 9, 7)
        expected = TF.hflip(expected) if flipped else expected
        assert torch.equal(own, expected.permute(1, 2, 0))
    assert found.dtype == torch.uint8


def test_every_shift_occurs_as_often_and_half_are_flipped():
    draws = draw(8100, epoch=0, padding=4, flip=True, seed=1)
    _, counts = np.unique(draws.shifts.numpy(), axis=0, return_counts=True)
    assert len(counts) == 81 and counts.min() > 60 and counts.max() < 145
    assert abs(draws.flips.float().mean().item() - 0.5) < 0.02
    assert abs(np.corrcoef(draws.flips.numpy(), draws.shifts[:, 1].numpy())[0, 1]) < 0.05


def test_draws_follow_seed_and_epoch_alone():
    first, again = (draw(50, epoch=1, padding=4, flip=True, seed=3) for _ in range(2))
    assert torch.equal(first.shifts, again.shifts) and torch.equal(first.flips, again.flips)
    for other in (draw(50, epoch=2, padding=4, flip=True, seed=3), draw(50, epoch=1, padding=4, flip=True, seed=4)):
        assert not torch.equal(first.shifts, other.shifts) and not torch.equal(first.flips, other.flips)
    without = draw(50, epoch=1, padding=4, flip=False, seed=3)
    assert torch.equal(first.shifts, without.shifts) and not without.flips.any()


def test_a_shift_beyond_the_image_leaves_black():
    images = torch.full((1, 4, 4, 3), 9, dtype=torch.uint8)
    assert not shift_and_flip(images, Draws(torch.tensor([[5, 0]]), torch.tensor([False]))).any()
