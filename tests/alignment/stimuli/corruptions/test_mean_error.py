"""Mean corruption error against published numbers."""

import pytest

from alignment.errors import RequestError
from alignment.stimuli.corruptions import CORRUPTIONS, mean_corruption_error, published_alexnet_errors

# corruption errors of ResNet-50 in per cent of AlexNet's, Table 3 of Hendrycks et al. 2020 (AugMix), whose mCE is 76.7
RESNET50 = (80, 82, 83, 75, 89, 78, 80, 78, 75, 66, 57, 71, 85, 77, 77)


def test_there_is_a_published_error_for_each_kind() -> None:
    assert list(published_alexnet_errors()) == list(CORRUPTIONS)
    assert published_alexnet_errors()["gaussian_noise"] == 0.886428
    assert published_alexnet_errors()["jpeg_compression"] == 0.6065


def test_resnet50_has_its_published_mean() -> None:
    reference = published_alexnet_errors()
    errors = {
        kind: [share / 100 * reference[kind] * step for step in (0.6, 0.8, 1.0, 1.2, 1.4)]
        for kind, share in zip(CORRUPTIONS, RESNET50, strict=True)
    }
    errors = {kind: [min(error, 1.0) for error in values] for kind, values in errors.items()}
    assert mean_corruption_error(errors, reference) == pytest.approx(0.767, abs=0.003)


def test_the_reference_itself_is_one() -> None:
    reference = published_alexnet_errors()
    assert mean_corruption_error({kind: [error] * 5 for kind, error in reference.items()}, reference) == pytest.approx(
        1
    )


@pytest.mark.parametrize(
    ("errors", "reference", "message"),
    [
        ({"fog": [0.1] * 5}, {"fog": 0.5, "snow": 0.5}, "snow is not in both"),
        ({}, {}, "no kind"),
        ({"fog": [0.1] * 4}, {"fog": 0.5}, "errors of fog"),
        ({"fog": [0.1, 0.1, 0.1, 0.1, 10.0]}, {"fog": 0.5}, "errors of fog"),
        ({"fog": [0.1, 0.1, 0.1, 0.1, float("nan")]}, {"fog": 0.5}, "errors of fog"),
        ({"fog": [0.1] * 5}, {"fog": 0.0}, "errors of fog"),
    ],
)
def test_what_cannot_be_compared_is_named(
    errors: dict[str, list[float]], reference: dict[str, float], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        mean_corruption_error(errors, reference)


def test_a_caller_cannot_change_the_published_errors() -> None:
    published_alexnet_errors()["fog"] = 0.0
    assert published_alexnet_errors()["fog"] > 0
