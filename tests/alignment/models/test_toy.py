import dataclasses

import pytest
import torch

from alignment.errors import DataError
from alignment.models import load_model
from alignment.models.toy import Recipe, digits, split, train, trained_weights


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_learns_the_digits(cache):
    model = load_model("toy", cache=cache)
    pixels, labels = digits(32)
    training, held_out = split(Recipe(), len(labels))
    assert not set(training.tolist()) & set(held_out.tolist()) and len(held_out) == 360
    with torch.no_grad():
        correct = model.logits(pixels[held_out])[:, 0].argmax(1) == labels[held_out]
    assert correct.float().mean() > 0.95
    assert model.layers == ("stage1", "stage2", "stage3", "pool")


def test_the_held_out_digits_are_the_same_whatever_the_seed():
    assert torch.equal(split(Recipe(seed=1), 1797)[1], split(Recipe(), 1797)[1])


def test_is_trained_once_and_named_by_its_recipe(cache):
    recipe = Recipe()
    path = trained_weights(recipe, cache=cache)
    before = path.stat().st_mtime_ns
    assert trained_weights(recipe, cache=cache) == path and path.stat().st_mtime_ns == before
    assert [file.name for file in cache.iterdir()] == [path.name]


def test_training_again_gives_the_same_weights():
    recipe = dataclasses.replace(Recipe(), epochs=1)
    threads = torch.get_num_threads()
    one = train(recipe).state_dict()
    torch.set_num_threads(1 if threads > 1 else 2)
    two = train(recipe).state_dict()
    torch.set_num_threads(threads)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_trained_weights_cut_short_say_how_to_get_them_again(cache, tmp_path):
    path = trained_weights(Recipe(), cache=cache)
    (tmp_path / path.name).write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=rf"{path.name}: no readable state dict .*; delete it to train it again"):
        load_model("toy", cache=tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*file.*; name another place"):
        trained_weights(dataclasses.replace(Recipe(), epochs=0, seed=9), cache=tmp_path / "file")
