"""What recording the passes of a network with feedback costs beside the passes themselves."""

import time
from collections.abc import Callable

import numpy as np
import torch
import torchvision

from alignment.models.lrm import alexnet_lrm

BATCH, EDGE, REPEATS = 4, 224, 41
MAX_RATIO = 2.2


def measure() -> list[tuple[str, float, str]]:
    """(what, value, target) of each figure."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ratios = {variant: _ratio(variant) for variant in (1, 3)}
    finally:
        torch.set_num_threads(threads)
    what = f"recording two passes of alexnet_lrm{{}}, 7 layers, {BATCH} images / one pass of AlexNet"
    return [(what.format(1), ratios[1], f"<= {MAX_RATIO}"), (what.format(3), ratios[3], "")]


@torch.no_grad()
def _ratio(variant: int) -> float:
    """Of the medians of runs made in turn, in seconds of the processor, channels last as in recording."""
    model, bare = alexnet_lrm(variant), torchvision.models.alexnet().eval()
    pixels = torch.rand(BATCH, 3, EDGE, EDGE).contiguous(memory_format=torch.channels_last)
    for module in (model.module, bare):
        module.to(memory_format=torch.channels_last)
    # scales as no training leaves them: alike above and below 0
    for part in model.module.lrm.values():
        for block in part.values():
            block.neg_scale.fill_(0.9)
    rounds = [
        (_seconds(lambda: bare(model.prepare(pixels))), _seconds(lambda: model.record(pixels, model.layers)))
        for _ in range(REPEATS + 1)
    ]
    alone, recorded = np.median(rounds[1:], axis=0)
    return float(recorded / alone)


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    for what, value, target in measure():
        print(f"{what}: {value:.3f} (target {target})")
