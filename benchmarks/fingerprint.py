"""Fingerprints of stimuli, remembered while the files they were read from stay as they are."""

import json
from collections.abc import Sequence
from pathlib import Path

from alignment import fingerprint
from alignment.stimuli import StimulusSet
from benchmarks.store import Store


class PixelDigests:
    """The hash of every image of a stimulus set.

    Decoding all images of a large set takes minutes, so the hashes are kept in the store under a key made of the ids
    and of the size and time of change of the source files. A set that names no sources is decoded each time.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._identities: dict[int, tuple[StimulusSet, str]] = {}
        self._known: dict[str, dict[str, str]] = {}
        self._blocks: dict[tuple[str, tuple[str, ...]], str] = {}

    def identity(self, stimuli: StimulusSet) -> str:
        """The same for every set of these ids read from the same files; without files, of this very set."""
        if id(stimuli) not in self._identities:
            key = _sources_key(stimuli) if stimuli.sources else f"in memory {len(self._identities)}"
            # holding the set keeps its number from being given to another
            self._identities[id(stimuli)] = (stimuli, key)
        return self._identities[id(stimuli)][1]

    def of(self, stimuli: StimulusSet) -> dict[str, str]:
        """Hash of the decoded pixels by stimulus id."""
        key = self.identity(stimuli)
        if key not in self._known:
            if stimuli.sources and self.store.has(key, suffix=".json"):
                self._known[key] = json.loads(self.store.read(key, suffix=".json"))
            else:
                self._known[key] = {name: fingerprint.of_array(stimuli.image(name)) for name in stimuli.ids}
        return self._known[key]

    def keep(self, stimuli: StimulusSet) -> None:
        """Remember the hashes for the next command; called once it is sure that something will be written."""
        key = self.identity(stimuli)
        if stimuli.sources and not self.store.has(key, suffix=".json"):
            self.store.put(key, json.dumps(self.of(stimuli)).encode(), suffix=".json")

    def block(self, stimuli: StimulusSet, ids: Sequence[str]) -> str:
        """Hash of some of the stimuli: ids, order and decoded pixels; equals `StimulusSet.digest`."""
        asked = (self.identity(stimuli), tuple(ids))
        if asked not in self._blocks:
            digests = self.of(stimuli)
            self._blocks[asked] = fingerprint.of_parts(*[text for name in ids for text in (name, digests[name])])
        return self._blocks[asked]

    def whole(self, stimuli: StimulusSet) -> str:
        """Equals `StimulusSet.fingerprint`."""
        return fingerprint.of_parts(self.block(stimuli, stimuli.ids), repr(stimuli.visual_degrees))


def _sources_key(stimuli: StimulusSet) -> str:
    files = [_state(path) for path in stimuli.sources]
    return fingerprint.of_parts("pixel digests 1", stimuli.name, *files, *stimuli.ids)


def _state(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
