"""Sizes of a simulated brain."""

from collections.abc import Mapping
from dataclasses import dataclass

from alignment.errors import RequestError
from benchmarks.datasets.nsd.layout import N_SUBJECTS, Layout

VERSION = 1
REPETITIONS = 3
N_IMAGES = 73_000


@dataclass(frozen=True)
class SimulatedNSD:
    """What to simulate; the defaults take a few seconds.

    Attributes
    ----------
    sessions : sessions completed by each simulated subject (subjects are numbered from 1); fewer than planned leave
        images with one or two repetitions
    planned_sessions : sessions in which every image is shown three times
    trials_per_run : stimulus trials of each run of a session
    shared, own : images that all subjects share, and images only one subject sees
    dims : (X, Y, Z) of the first subject's volume, all different; each further subject's is one voxel larger
    image_size : edge of the images, pixels
    ncsnr : lowest and highest true ncsnr of voxels with a signal
    scale, offset : standard deviation and mean of a voxel's responses, percent signal change
    drift : standard deviation of each session's gain about 1, and of its offset in units of `scale`
    """

    sessions: tuple[int, ...] = (6, 5)
    planned_sessions: int = 6
    trials_per_run: tuple[int, ...] = (53, 52, 53, 52)
    shared: int = 60
    own: int = 360
    dims: tuple[int, int, int] = (10, 12, 8)
    image_size: int = 64
    ncsnr: tuple[float, float] = (0.3, 2.0)
    scale: float = 3.0
    offset: float = 1.5
    drift: float = 0.1

    def __post_init__(self) -> None:
        trials, shown = self.planned_sessions * sum(self.trials_per_run), REPETITIONS * (self.shared + self.own)
        if trials != shown:
            raise RequestError(f"{trials} planned trials do not show {self.shared + self.own} images three times")
        if not 1 <= len(self.sessions) <= N_SUBJECTS or not all(
            1 <= count <= self.planned_sessions for count in self.sessions
        ):
            raise RequestError(f"sessions={self.sessions}: expected 1 to {self.planned_sessions} for each subject")
        if self.shared + N_SUBJECTS * self.own > N_IMAGES // 2:
            raise RequestError(
                f"{self.shared} shared and {N_SUBJECTS} x {self.own} own images are more than {N_IMAGES // 2}"
            )
        if len(set(self.dims)) != len(self.dims):
            raise RequestError(f"dims={self.dims}: axes of equal length would hide a swap of axes")

    @property
    def layout(self) -> Layout:
        """The sizes as the loader reads them; subjects that are not simulated count as complete."""
        rest = (self.planned_sessions,) * (N_SUBJECTS - len(self.sessions))
        return Layout(
            trials_per_run=self.trials_per_run,
            sessions=self.sessions + rest,
            images=N_IMAGES,
            image_size=self.image_size,
        )

    def volume(self, subject: int) -> tuple[int, int, int]:
        """Shape of a subject's volume (X, Y, Z)."""
        x, y, z = self.dims
        return x + subject - 1, y + subject - 1, z + subject - 1


SMOKE_NAME, LARGE_NAME = "nsd-smoke", "nsd-simulated"
SMOKE = SimulatedNSD()
LARGE = SimulatedNSD(
    sessions=(12, 12, 10, 9),
    planned_sessions=12,
    trials_per_run=(63, 62) * 2,
    shared=150,
    own=850,
    dims=(14, 17, 12),
    image_size=96,
    ncsnr=(0.2, 1.5),
)
PRESETS: Mapping[str, SimulatedNSD] = {SMOKE_NAME: SMOKE, LARGE_NAME: LARGE}
