"""What recording the passes of a network with feedback costs beside the passes themselves."""

import torch
import torchvision

from alignment.models.lrm import alexnet_lrm
from alignment.models.toy import one_thread
from tests.processor_time import median_seconds

BATCH, EDGE, REPEATS = 4, 224, 41
MAX_RATIO = 2.2


def measure() -> list[tuple[str, float, str]]:
    """(what, value, target) of each figure."""
    with one_thread():
        ratios = {variant: _ratio(variant) for variant in (1, 3)}
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
    alone, recorded = median_seconds(
        lambda: bare(model.prepare(pixels)), lambda: model.record(pixels, model.layers), repeats=REPEATS
    )
    return recorded / alone


if __name__ == "__main__":
    for what, value, target in measure():
        print(f"{what}: {value:.3f} (target {target})")
