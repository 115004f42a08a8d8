"""Batches of an epoch: every image once, no batch too small for its loss, shifts that mirror nothing."""

import numpy as np
import pytest
import torch

from alignment.tuning.batches import batches, shifted
from alignment.tuning.material import Material, Neural, Task
from alignment.tuning.recipe import Recipe


def material(*counts: int, task: int | None = None) -> Material:
    neural = {f"s{n}": Neural(torch.zeros(count, 3, 16, 16), torch.zeros(count, 2)) for n, count in enumerate(counts)}
    images = Task(torch.zeros(4, 3, 16, 16), torch.zeros(4))
    return Material(neural, neural, images, None if task is None else Task(torch.zeros(task, 3, 16, 16)))


def sizes(given: Material, **settings) -> dict[str, list[int]]:
    steps = batches(given, Recipe(("layer",), **settings), epoch=0)
    return {subject: [len(step.neural[subject]) for step in steps] for subject in given.train}


def test_every_image_enters_once_and_task_images_in_turn() -> None:
    steps = batches(material(240, 130, task=200), Recipe(("layer",), batch_size=64), epoch=0)
    for subject, count in (("s0", 240), ("s1", 130)):
        assert sorted(torch.cat([step.neural[subject] for step in steps]).tolist()) == list(range(count))
    assert [len(step.task) for step in steps] == [64] * 4
    # 256 places of 200 images: none a third time
    assert np.bincount(torch.cat([step.task for step in steps])).tolist().count(1) == 144
    assert not any(step.shifts for step in steps)


def test_orders_differ_between_epochs_subjects_and_seeds_alone() -> None:
    given = material(90, 90)

    def orders(epoch: int, seed: int) -> list[list[int]]:
        steps = batches(given, Recipe(("layer",), batch_size=90, seed=seed), epoch=epoch)
        return [rows.tolist() for rows in steps[0].neural.values()]

    assert orders(0, 0) == orders(0, 0)
    assert len({str(order) for pair in (orders(0, 0), orders(1, 0), orders(0, 1)) for order in pair}) == 6


@pytest.mark.parametrize(
    ("counts", "batch_size", "expected"),
    [
        ((100,), 64, [[100]]),
        ((200,), 64, [[67, 67, 66]]),
        ((127,), 128, [[127]]),
        ((1000,), 128, [[125] * 8]),
        # of 70 images there are no eight batches of 64 but by going through them more than once
        ((1000, 70), 128, [[125] * 8, [64] * 8]),
        ((640, 300), 64, [[64] * 10, [64] * 10]),
    ],
)
def test_no_batch_of_cka_falls_below_64_images(counts, batch_size, expected) -> None:
    found = sizes(material(*counts), loss="cka", batch_size=batch_size)
    assert list(found.values()) == expected


def test_a_small_subject_has_no_empty_batch() -> None:
    given = material(500, 3)
    steps = batches(given, Recipe(("layer",), batch_size=50), epoch=0)
    assert [len(step.neural["s1"]) for step in steps] == [1] * 10
    assert set(torch.cat([step.neural["s1"] for step in steps]).tolist()) == {0, 1, 2}
    assert sizes(given, loss="rsm", batch_size=50)["s1"] == [3] * 10


def test_a_batch_of_cka_holds_no_image_twice() -> None:
    for step in batches(material(1000, 70), Recipe(("layer",), loss="cka"), epoch=0):
        assert all(len(rows.unique()) == len(rows) for rows in step.neural.values())


@pytest.mark.parametrize("count", [2, 3, 5, 64])
def test_parts_hold_the_rows_of_the_step_in_order(count) -> None:
    given = material(50, 20, task=30)
    step = batches(given, Recipe(("layer",), batch_size=50, jitter=1 / 16), epoch=0)[0]
    parts = step.parts(count)
    assert len(parts) == min(count, 50) == parts[0].n_parts
    for subject in given.train:
        assert torch.equal(torch.cat([part.neural[subject] for part in parts]), step.neural[subject])
        assert torch.equal(torch.cat([part.shifts[subject] for part in parts]), step.shifts[subject])
        assert sum(part.share(subject) for part in parts) == pytest.approx(1)
        assert parts[0].share(subject) == len(parts[0].neural[subject]) / len(step.neural[subject])
    assert torch.equal(torch.cat([part.task for part in parts]), step.task)
    assert all(torch.equal(part.task, step.task[part.first_task :][: len(part.task)]) for part in parts)
    assert sum(part.task_share for part in parts) == pytest.approx(1)
    assert step.parts(1) == [step] and step.share("s0") == step.task_share == 1


def test_images_are_shifted_and_never_mirrored() -> None:
    large = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    given = Material({"s": Neural(large, torch.zeros(40, 2))}, {}, Task(large[:2]))
    step = batches(given, Recipe(("layer",), jitter=1 / 16, batch_size=40), epoch=0)[0]
    moved = shifted(large[step.neural["s"]], step.shifts["s"])
    shifts = {
        (dy, dx)
        for image, found in zip(large[step.neural["s"]], moved, strict=True)
        for dy in range(-2, 3)
        for dx in range(-2, 3)
        if torch.equal(found[:, 2:-2, 2:-2], image[:, 2 + dy : 30 + dy, 2 + dx : 30 + dx])
    }
    assert len(shifts) > 10 and all(-2 <= by <= 2 for shift in shifts for by in shift)
    again = batches(given, Recipe(("layer",), jitter=1 / 16, batch_size=40), epoch=0)[0]
    assert torch.equal(step.shifts["s"], again.shifts["s"])
    later = batches(given, Recipe(("layer",), jitter=1 / 16, batch_size=40), epoch=1)[0]
    assert not torch.equal(step.shifts["s"], later.shifts["s"])


def test_less_than_a_pixel_is_no_shift() -> None:
    assert not batches(material(40), Recipe(("layer",), jitter=1 / 17), epoch=0)[0].shifts


def test_the_edge_is_repeated() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    found = shifted(image, torch.tensor([[1, -2]]))[0, 0]
    assert found.tolist() == [[4, 4, 4, 5], [8, 8, 8, 9], [8, 8, 8, 9]]
