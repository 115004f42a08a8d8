"""Common corruptions of images (Hendrycks & Dietterich 2019), and the error under them."""

from alignment.stimuli.corruptions.apply import CORRUPTIONS, corrupt, corruption_id
from alignment.stimuli.corruptions.mean_error import mean_corruption_error, published_alexnet_errors
from alignment.stimuli.corruptions.published import SEVERITIES

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "corrupt",
    "corruption_id",
    "mean_corruption_error",
    "published_alexnet_errors",
]
