"""What a network is, as a hash: weights, buffers, structure with hyper-parameters, and the code that defines it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from alignment import fingerprint
from alignment.errors import DataError
from alignment.models.describe_value import Description, module_file, of_tensor


def of_module(module: nn.Module) -> str:
    """Hash of weights, buffers and structure: classes, printed and plain attributes, of every part by its name.

    Attributes enter by content: containers, configuration objects and functions with what they close over, at any
    depth. The train or eval mode does not enter; neither do hooks.

    Raises
    ------
    RequestError
        An attribute has no content that can be read, such as a lock or an open file.
    """
    description = Description()
    parts = description.of_parts_of(module)
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        parts += [name, of_tensor(tensor)]
    return fingerprint.of_parts(*parts)


def of_sources(module: nn.Module, sources: Sequence[Path]) -> str:
    """Hash of the files that define the network's classes, those of its attributes, and of the files that build it.

    Those of torch, NumPy and Python itself are left out. What was typed into a notebook has no file: its compiled
    code stands for it.

    Raises
    ------
    DataError
        One of `sources` cannot be read.
    RequestError
        As for `of_module`.
    """
    description = Description(values=False)
    description.of_parts_of(module)
    classes = {type(child) for child in module.modules()}
    texts = {description.of(cls) for cls in classes}
    files = [module_file(sys.modules.get(name)) for name in description.modules]
    texts |= {fingerprint.of_file(file) for file in files if file is not None}
    for source in sources:
        try:
            texts.add(fingerprint.of_file(source))
        except OSError as error:
            raise DataError(f"cannot read {source} ({error.strerror}), which defines the model") from None
    return fingerprint.of_parts(*sorted(texts))
