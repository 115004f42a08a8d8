"""Compute what is missing, keep it, score it, rank it."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

import torch
import xarray as xr

from alignment.errors import AlignmentError, DataError
from alignment.registry import foreign_code
from benchmarks.catalogue import cache_folder
from benchmarks.contracts import Benchmark, Part, Session
from benchmarks.datasets.partials import sweep_partials
from benchmarks.packing import packed
from benchmarks.plan import Built, Entrant, Planned, Request, build, plan_one, references
from benchmarks.provenance import provenance
from benchmarks.results import (
    Leaderboard,
    Record,
    leaderboard,
    load_records,
    save_leaderboard,
    save_record,
)
from benchmarks.store import Store, sweep

# A user's network can raise anything, which arrives as an AlignmentError; the disk and the device can fail too.
UNIT_FAILURES = (AlignmentError, OSError, MemoryError, RuntimeError)
ROOM = 1.1
HELD_BYTES = 2**29

Notify = Callable[[str, int, int], None]


class StoredParts(Mapping[Part, xr.Dataset]):
    """Measured parts, read from the store when they are asked for and kept while they are small together."""

    def __init__(self, store: Store, keys: Mapping[Part, str]) -> None:
        self.store = store
        self.keys_of = keys
        self.held: dict[Part, xr.Dataset] = {}

    def __getitem__(self, part: Part) -> xr.Dataset:
        if part in self.held:
            return self.held[part]
        with self.store.dataset(self.keys_of[part]) as dataset:
            loaded = dataset.load()
        if loaded.nbytes + sum(other.nbytes for other in self.held.values()) < HELD_BYTES:
            self.held[part] = loaded
        return loaded

    def __iter__(self) -> Iterator[Part]:
        return iter(self.keys_of)

    def __len__(self) -> int:
        return len(self.keys_of)


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes
    ----------
    computed, cached : number of scores made, and of scores that were there
    failures : one line for each unit that failed
    boards : name of leaderboard -> its rows
    """

    computed: int
    cached: int
    failures: tuple[str, ...]
    boards: dict[str, Leaderboard]


def run(request: Request, *, notify: Notify) -> Outcome:
    """Bring every score of a request into being and write its leaderboards.

    Parameters
    ----------
    request : from `plan.check`
    notify : told (what, done, of how many) as the work goes on
    """
    settings = request.settings
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    sweep(request.store.root)
    sweep_partials(cache_folder(settings))
    session = request.session(notify)
    computed = cached = 0
    failures: list[str] = []
    for entrant, built, benchmark in _work(request, failures):
        try:
            unit = plan_one(entrant, built, benchmark=benchmark, request=request, session=session)
            if unit.done:
                cached += 1
                continue
            _complete(unit, request, session=session, notify=notify)
            computed += 1
        except UNIT_FAILURES as fault:
            failures.append(f"{entrant.label} on {benchmark.id}: {_line(fault)}")
    return Outcome(computed, cached, tuple(failures), write_boards(request))


def _work(request: Request, failures: list[str]) -> Iterator[tuple[Entrant, Built, Benchmark]]:
    """Every pair to be scored; a model is loaded when its turn comes, and one that cannot be is noted in `failures`."""
    for entrant in request.entrants:
        try:
            built = build(entrant, request.settings)
        except UNIT_FAILURES as fault:
            failures.append(f"{entrant.label}: {_line(fault)}")
            continue
        yield from ((entrant, built, benchmark) for benchmark in request.rows_of(entrant))
    yield from references(request)


def write_boards(request: Request) -> dict[str, Leaderboard]:
    """Write every leaderboard of a request from the records at hand."""
    records = load_records(request.settings.results)
    boards = {name: leaderboard(records, names) for name, names in request.boards.items()}
    filled = {name: board for name, board in boards.items() if not board.rows.empty}
    for name, board in filled.items():
        save_leaderboard(request.settings.results, name, board)
    return filled


def _complete(unit: Planned, request: Request, *, session: Session, notify: Notify) -> None:
    began = time.monotonic()
    _check_room(unit, request)
    for stimuli in unit.benchmark.stimuli():
        request.digests.keep(stimuli)
    failures = []
    for number, part in enumerate(unit.pending):
        notify(f"measure {unit.model_name} on {unit.benchmark.name}", number, len(unit.pending))
        try:
            with foreign_code(f"part {part}"):
                measured = unit.benchmark.measure(unit.model, part, session)
        except AlignmentError as fault:
            # what the other parts give is kept, so that a later command need not compute it again
            failures.append(f"{part}: {fault}".replace(f"{part}: part {part}: ", f"{part}: "))
            continue
        request.store.put_dataset(unit.part_keys[part], measured)
    if unit.pending:
        notify(f"measure {unit.model_name} on {unit.benchmark.name}", len(unit.pending), len(unit.pending))
    if failures:
        more = f" ({len(failures)} of {len(unit.part_keys)} parts failed)" if len(failures) > 1 else ""
        raise DataError(f"{failures[0]}{more}")
    save_record(request.settings.results, _record(unit, request, seconds=time.monotonic() - began))


def _record(unit: Planned, request: Request, *, seconds: float) -> Record:
    with foreign_code("score"):
        scored = unit.benchmark.score(StoredParts(request.store, unit.part_keys))
    return {
        "key": unit.key,
        "model": {
            "name": unit.model_name,
            "fingerprint": unit.model.fingerprint,
            "null": unit.entrant.null or None,
            "of": unit.of_model,
        },
        "benchmark": {
            "name": unit.benchmark.name,
            "id": unit.benchmark.id,
            "measure": unit.benchmark.measured_by,
            "version": unit.benchmark.version,
            "fingerprint": unit.benchmark.fingerprint(request.digests),
            "of": unit.of_data,
        },
        "layer": {"name": scored.layer, "time_bin": scored.time_bin, "share": scored.layer_share},
        "score": scored.score.to_dict(),
        "clean": None if scored.clean is None else asdict(scored.clean),
        "clean_samples": None if scored.clean_raw is None else packed(scored.clean_raw),
        "flags": list(scored.flags),
        # in their own order, which keys would not keep
        "figures": [[name, value] for name, value in scored.figures.items()],
        "samples": packed(scored.raw),
        "by_split": dict(scored.by_split),
        "surface": list(scored.surface),
        "details": dict(scored.details),
        "parts": sorted(unit.part_keys.values()),
        "settings": {
            "asked": request.settings.model_dump(mode="json"),
            "resolved": {**unit.benchmark.resolved(), "layers": list(unit.model.layers)},
        },
        "provenance": provenance(wall_seconds=seconds),
    }


def _check_room(unit: Planned, request: Request) -> None:
    folder = request.settings.results
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if unit.bytes * ROOM > free:
        raise DataError(
            f"{unit.bytes / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free; "
            "free some, or pool or project the activations"
        )


def _line(fault: BaseException) -> str:
    text = str(fault).strip().splitlines()
    first = text[0] if text else ""
    return first if isinstance(fault, AlignmentError) else f"{type(fault).__name__}: {first}"
