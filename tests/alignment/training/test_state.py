import pytest
import torch
from torch import nn

from alignment.errors import DataError
from alignment.training.state import Epoch, Progress, Selected, read_progress, write_progress

OF = {"recipe": "a", "images": "b"}


def stepped(seed=0, width=4):
    """A network with statistics, and an optimiser with momentum."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.rand(2, 3, 4, 4)).square().sum().backward()
    optimiser.step()
    return net, optimiser


def test_everything_comes_back(tmp_path):
    net, optimiser = stepped()
    progress = Progress(5, 1.5, 3, [Epoch(0, 0.1, 2.0, 0.5, None, None)], Selected(0, {"1.weight": torch.ones(4)}))
    path = tmp_path / "deep" / "state.pt"
    write_progress(path, progress, module=net, optimiser=optimiser, identity=OF)
    other, other_optimiser = stepped(seed=1)
    found = read_progress(path, module=other, optimiser=other_optimiser, identity=OF)
    assert (found.step, found.loss_sum, found.hits, found.history) == (5, 1.5, 3, progress.history)
    assert found.selected.epoch == 0 and torch.equal(found.selected.state["1.weight"], torch.ones(4))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())
    for own, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(optimiser.state[own]["momentum_buffer"], other_optimiser.state[theirs]["momentum_buffer"])
    assert [each.name for each in path.parent.iterdir()] == ["state.pt"]


def test_what_differs_is_named(tmp_path):
    net, optimiser = stepped()
    path = tmp_path / "state.pt"
    write_progress(path, Progress(), module=net, optimiser=optimiser, identity=OF)
    with pytest.raises(DataError, match=r"state\.pt: it is of other recipe and images; delete it") as caught:
        read_progress(path, module=net, optimiser=optimiser, identity={"recipe": "c", "images": "d"})
    assert "\n" not in str(caught.value)
    wide, wide_optimiser = stepped(width=5)
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    with pytest.raises(DataError, match=r"misshaped \(0\.weight is \(4, 3, 3, 3\) instead of \(5, 3, 3, 3\)"):
        read_progress(path, module=wide, optimiser=wide_optimiser, identity=OF)
    assert all(torch.equal(value, before[name]) for name, value in wide.state_dict().items())
