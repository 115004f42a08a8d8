"""What rep_align (gpogoncheff/rep_align, 2024) leaves behind, and how its recipe differs from what is done here.

rep_align trains a CIFAR-10 network, copies it, and tunes the copy to regress fMRI voxels while it distils the original.
Its networks are in `alignment.models.cifar10_networks`, its schedule in `alignment.training.schedule`, its data folder
in `benchmarks.datasets.rep_align`; here are its checkpoints. Its code has no licence, so all of it is written afresh.

Known faults of its code, and what is done here:

- Batch normalisation takes its statistics from the brain's images while tuning, which alone costs tens of points of
  accuracy on CIFAR-10. Here they are frozen unless asked for otherwise.
- Each learning rate is set after the update it was meant for: the first update of training takes 0.01 in the place of
  1e-8, and that of tuning Adam's default of 1e-3. Here the rate is set before the update; the first sees lr(0).
- The epoch is chosen by the test images of CIFAR-10 which are then reported, and a tuned network by the validation
  voxels which are then reported. Here some of the training images are held out to choose by.
- Brain images are flipped and shifted, though the responses to them know left from right. Here flips are for labels.
- A network that lost accuracy is compared with one that did not, channels are tested as if independent, and nothing
  controls for what any tuning would do. Here controls of the same budget are run, and differences are paired.
- The readout takes 2,048 features whatever the network, so that only ResNet-18 and 34 can be tuned. Here its size is
  probed, for any layer of any network.
- `best_val_loss` in a checkpoint is that of an epoch before. Here the history is kept whole and nothing is kept twice.
- Training cannot be resumed, its folder must not exist, and the seed is not set. Here a run that is killed goes on to
  the same weights, and every draw has a seed.
- The linear decay has no counter and fails; pooling channels by minimum, maximum or median fails, and so do nine or
  more images in its index of interpretability; `train.py` needs a module that was deleted. None of these is here.
- The centre of a 2x2 map is its last unit. Here a map of even size has no centre.
- Images are not converted to RGB, and are found by absolute paths only. Here they are decoded in one way, and found by
  file name where their folder has moved.
- A teacher and a student in one file are loaded by name, without a check. Here a weight that is missing, one too many
  or of another shape is named and refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from alignment.errors import DataError
from alignment.models.checkpoints import load_file, read_state

STUDENT = "student_state_dict"
READOUT = "neural_predict."


class Checkpoint(NamedTuple):
    """Weights of a network, and those of a readout of voxels beside it."""

    state: dict[str, Tensor]
    readout: dict[str, Tensor]


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint of rep_align's training or tuning, or any that `read_state` reads.

    Of a tuned one it is the student that is read. `neural_predict.weight` and `.bias`, its linear map from the
    flattened last stage to voxels, are kept apart, for they are no part of the network.

    Parameters
    ----------
    path : file written by `torch.save`; no code in it is run

    Raises
    ------
    DataError
        The file is missing, damaged, holds other things than tensors, or holds none.
    """
    content = load_file(path)
    if isinstance(content, Mapping) and STUDENT in content:
        state = content[STUDENT]
        if not isinstance(state, Mapping) or not state or not all(isinstance(each, Tensor) for each in state.values()):
            raise DataError(f"weights {path}: {STUDENT} does not hold names with tensors; give another checkpoint")
    else:
        state = read_state(path)
    readout = {name: value for name, value in state.items() if name.startswith(READOUT)}
    return Checkpoint({name: value for name, value in state.items() if name not in readout}, readout)
