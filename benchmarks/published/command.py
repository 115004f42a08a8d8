"""`bench published`: one's own curves laid beside published ones, from the records at hand."""

from alignment.errors import RequestError
from benchmarks import report
from benchmarks.catalogue import cache_folder
from benchmarks.published.figures import curves_beside
from benchmarks.published.suites import PUBLISHED, beside_published
from benchmarks.results import load_records, table_bytes
from benchmarks.settings import Settings
from benchmarks.store import write_whole

FOLDER = "published"


def published_command(settings: Settings) -> None:
    """Write a table of all curves and a figure of each kind; says where they lie.

    Raises
    ------
    RequestError
        No suite is named, nothing was published of it, or none of its benchmarks has a record.
    DataError
        The published files are damaged or nowhere to be had.
    """
    if not settings.suite:
        raise RequestError(f"name a suite whose curves were published: suite={next(iter(PUBLISHED))}")
    rows = beside_published(
        load_records(settings.results), settings.suite, data_root=settings.data.root, cache=cache_folder(settings)
    )
    place, output = settings.results / FOLDER, report.console()
    paths = [write_whole(place / f"{settings.suite}.csv", table_bytes(rows))]
    for figure, cells in rows.groupby("figure", sort=False):
        png = curves_beside(cells, value=str(figure))
        paths.append(write_whole(place / f"{settings.suite}.{figure}.png", png))
    for path in paths:
        output.print(str(path), soft_wrap=True)
