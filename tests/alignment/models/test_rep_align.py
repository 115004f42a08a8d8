import pytest
import torch
from torch import nn

from alignment.errors import DataError
from alignment.models.rep_align import read_checkpoint


def state():
    return nn.Linear(3, 2).state_dict()


READOUT = {"neural_predict.weight": torch.ones(5, 8), "neural_predict.bias": torch.zeros(5)}


@pytest.mark.parametrize("entry", ["state_dict", "student_state_dict", "model", None])
@pytest.mark.parametrize("readout", [{}, READOUT])
def test_the_network_and_the_readout_are_kept_apart(tmp_path, entry, readout):
    own = state()
    content = own | readout
    torch.save(content if entry is None else {entry: content, "epoch": 1, "train_losses": [0.5]}, tmp_path / "c.pt")
    found = read_checkpoint(tmp_path / "c.pt")
    assert list(found.state) == ["weight", "bias"] and list(found.readout) == list(readout)
    assert torch.equal(found.state["weight"], own["weight"])
    assert all(torch.equal(found.readout[name], value) for name, value in readout.items())


def test_the_student_is_read_whatever_lies_beside_it(tmp_path):
    student, teacher = state(), state()
    torch.save({"teacher_state_dict": teacher, "state_dict": teacher, "student_state_dict": student}, tmp_path / "c.pt")
    assert torch.equal(read_checkpoint(tmp_path / "c.pt").state["weight"], student["weight"])


@pytest.mark.parametrize("content", [{"student_state_dict": {}}, {"student_state_dict": {"a": 1}}, {"epoch": 3}])
def test_what_holds_no_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(DataError, match=r"weights .*c\.pt") as caught:
        read_checkpoint(tmp_path / "c.pt")
    assert "\n" not in str(caught.value)


class Danger:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


def test_no_code_is_run(tmp_path):
    torch.save({"student_state_dict": state(), "hist": Danger()}, tmp_path / "c.pt")
    with pytest.raises(DataError, match="Python objects"):
        read_checkpoint(tmp_path / "c.pt")
