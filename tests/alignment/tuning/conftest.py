"""What the tests of tuning share."""

import pytest

from alignment.models import TorchModel
from alignment.tuning.loop import Material
from tests.alignment.tuning.small_network import small_material, trained_model


@pytest.fixture(scope="session")
def model() -> TorchModel:
    """Trained on its task, in a second."""
    return trained_model()


@pytest.fixture(scope="session")
def material() -> Material:
    """To be left as it is."""
    return small_material()
