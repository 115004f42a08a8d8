"""Which layer modulates which, and whether a network can have it so."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alignment.errors import RequestError, unknown
from alignment.models.hooks import Site


class Connection(NamedTuple):
    """Feedback from one module of a network to another.

    Attributes
    ----------
    source : module whose output modulates, by its name in the network
    destination : module whose output is modulated in the next pass, or in the same one where it comes later
    """

    source: str
    destination: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination}"


def key_of(name: str) -> str:
    """A module's name as one word, as in the published weights.

    Examples
    --------
    >>> key_of("features.8")
    'features_8'
    """
    return name.replace(".", "_")


def check_connections(
    connections: Sequence[tuple[str, str]], sites: Mapping[str, Site], *, network: str
) -> tuple[Connection, ...]:
    """Connections that a network can have.

    Parameters
    ----------
    connections : (source, destination) of each
    sites : what `alignment.models.hooks.probe` found of the network
    network : what the messages call it

    Raises
    ------
    RequestError
        There are none, one is there twice, or an end is no module (with near misses), is not called once in a pass, or
        puts out neither a vector nor a map for each image.
    """
    found = tuple(Connection(*each) for each in connections)
    if not found:
        raise RequestError(f"{network}: no connection; give (source, destination), each the name of a module")
    twice = [each for each, count in Counter(found).items() if count > 1]
    if twice:
        raise RequestError(f"{network}: the connection {twice[0]} is there twice; give it once")
    for name in dict.fromkeys(end for each in found for end in each):
        _check_end(name, sites, network=network)
    names: dict[str, str] = {}
    for end in (end for each in found for end in each):
        if names.setdefault(key_of(end), end) != end:
            raise RequestError(
                f"{network}: {names[key_of(end)]!r} and {end!r} are alike but for dots, which the names of weights "
                "cannot have; rename one of the modules"
            )
    return found


def _check_end(name: str, sites: Mapping[str, Site], *, network: str) -> None:
    if name not in sites:
        raise unknown(f"module of {network}", name, sites)
    site = sites[name]
    if site.calls != 1:
        raise RequestError(f"{network}: {name!r} is called {site.calls} times in a pass; connect one called once")
    if not site.batched or len(site.shapes[0]) not in (1, 3) or site.channels_last:
        found = site.shapes[0] if site.batched else site.returned
        raise RequestError(
            f"{network}: {name!r} puts out {found} for an image; connect modules with a vector or a map (channel, row, "
            "column)"
        )
