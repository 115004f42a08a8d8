"""Where the weights lie that `bench train` made, of networks of which nobody publishes any."""

from pathlib import Path

from alignment.errors import DataError

FOLDER = "trained"


def trained_file(name: str, *, cache: Path, seed: int = 0) -> Path:
    """Where the weights that a network takes by default lie, or would lie.

    Parameters
    ----------
    name : of the network
    cache : folder for what is trained or downloaded here
    seed : of its initial weights and its training

    Examples
    --------
    >>> trained_file("resnet18_cifar10", cache=Path("cache"), seed=3).as_posix()
    'cache/trained/resnet18_cifar10-seed3.pt'
    """
    return cache / FOLDER / f"{name}{f'-seed{seed}' if seed else ''}.pt"


def trained_weights(name: str, *, cache: Path, seed: int = 0) -> Path:
    """The file of those weights; parameters as of `trained_file`.

    Raises
    ------
    DataError
        Nobody has trained the network here.
    """
    path = trained_file(name, cache=cache, seed=seed)
    if not path.is_file():
        words = f"model={name}{f' seed={seed}' if seed else ''}"
        raise DataError(
            f"{name}: nobody publishes its weights, and {path} is not there; make it with `bench train {words}`, "
            "or give model.weights=none or the path of a checkpoint"
        )
    return path
