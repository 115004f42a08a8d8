import pickle

import pytest
import torch
from torch import nn

from alignment.errors import DataError
from alignment.models.checkpoints import load_state, read_state


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize("entry", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_reads_the_usual_layouts(tmp_path, entry, prefix):
    state = {prefix + name: value for name, value in network().state_dict().items()}
    torch.save({entry: state, "epoch": 3} if entry else state, tmp_path / "w.pth")
    fresh = load_state(network(), read_state(tmp_path / "w.pth"), where="w.pth")
    assert all(torch.equal(value, state[prefix + name]) for name, value in fresh.state_dict().items())


def test_counts_that_old_files_lack_are_not_missed():
    state = {name: value for name, value in network().state_dict().items() if not name.endswith("batches_tracked")}
    load_state(network(), state, where="old")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.bias"), r"w.pth do not fit Sequential: 1 missing \(0.bias\)$"),
        (lambda s: s.update(extra=torch.ones(1)), r"1 unexpected \(extra\)$"),
        (
            lambda s: s.update({"0.bias": torch.ones(5)}),
            r"1 misshaped \(0.bias is \(5,\) instead of \(4,\)\)$",
        ),
        (lambda s: [s.pop(name) for name in list(s)[:4]], r"4 missing \(0.weight, 0.bias, 1.weight and 1 more\)"),
    ],
)
def test_misfits_are_named(change, message):
    state = network().state_dict()
    change(state)
    with pytest.raises(DataError, match=message):
        load_state(network(), state, where="w.pth")


class Danger:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


@pytest.mark.parametrize(
    "content", [b"", b"not weights", pickle.dumps(Danger(), 2), pickle.dumps(Danger(), 4), pickle.dumps([1, 2], 2)]
)
@pytest.mark.filterwarnings("error")
def test_damaged_and_dangerous_files(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DataError, match=r"w\.pth: (no readable|expected|it holds Python objects)"):
        read_state(tmp_path / "w.pth")


def test_a_file_cut_short_anywhere_is_damaged_and_not_elsewhere(tmp_path):
    """Where torch seeks before the start of what is left, the system says that an argument is invalid."""
    torch.save({str(i): torch.zeros(60, 60) for i in range(8)}, tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    for length in range(0, len(whole), len(whole) // 16):
        (tmp_path / "half.pth").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"half.pth: no readable state dict \(damaged, or"):
            read_state(tmp_path / "half.pth")


@pytest.mark.parametrize("entry", [None, "model"])
def test_a_whole_network_is_told_from_its_weights(tmp_path, entry):
    torch.save({entry: network()} if entry else network(), tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w.pth: it holds Python objects.*; save network.state_dict\(\)"):
        read_state(tmp_path / "w.pth")


def test_truncated_missing_and_other_content(tmp_path):
    torch.save(network().state_dict(), tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    torch.save(torch.ones(3), tmp_path / "tensor.pth")
    torch.save({"hook": Danger()}, tmp_path / "code.pth")
    for name in ("half.pth", "other.pth", "absent.pth", "tensor.pth", "code.pth"):
        with pytest.raises(DataError, match=name) as caught:
            read_state(tmp_path / name)
        assert "\n" not in str(caught.value)
