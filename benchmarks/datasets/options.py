"""What a user may ask of a data set."""

from collections.abc import Mapping, Sequence

from alignment.errors import RequestError, near_misses


def check_options(options: Mapping[str, str], *, accepted: Sequence[str], name: str) -> None:
    """Refuse what a data set does not know, so that no wish is silently ignored.

    Raises
    ------
    RequestError
        Some `data.<option>` is not among `accepted`.
    """
    for option in options:
        if option not in accepted:
            choices = f"; it takes {', '.join(f'data.{each}' for each in accepted)}" if accepted else ""
            raise RequestError(f"{name} takes no data.{option}{near_misses(option, accepted) or choices}")


def refuse_selection(selection: str | None, *, name: str) -> None:
    """Refuse what follows the dot of a data set of which nothing can be selected.

    Raises
    ------
    RequestError
        Something was selected.
    """
    if selection is not None:
        raise RequestError(f"{name}.{selection}: nothing follows {name}; leave .{selection} out")
