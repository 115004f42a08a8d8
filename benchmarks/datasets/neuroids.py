"""Which neuroids can be predicted at all."""

import numpy as np
import xarray as xr

from alignment.errors import DataError


def drop_unusable(responses: xr.DataArray) -> xr.DataArray:
    """Leave out neuroids that are constant or not finite.

    A neuroid is constant if it has one value over stimuli in every time bin; r with it is undefined.

    Parameters
    ----------
    responses : (stimulus, neuroid, time_bin) float, averaged over repetitions

    Returns
    -------
    DataArray of the same dims, with `attrs["dropped"]`: one text per neuroid left out, its name (coordinate `neuroid`,
    or its position) and the reason, such as "17 (constant)"

    Raises
    ------
    DataError
        Every neuroid is NaN for some stimulus, or none is left.
    """
    values = responses.transpose("stimulus", "neuroid", "time_bin").values
    finite = np.isfinite(values)
    empty = ~finite.any(axis=(1, 2))
    if empty.any():
        ids = responses["stimulus"].values[empty]
        raise DataError(
            f"responses of stimulus {str(ids[0])!r} are NaN for every neuroid ({len(ids)} such stimuli); "
            "leave these stimuli out or give their responses"
        )
    broken = ~finite.all(axis=(0, 2))
    constant = (values == values[:1]).all(axis=(0, 2)) & ~broken
    names = responses["neuroid"].values
    reasons = np.where(broken, "not finite", "constant")
    dropped = [f"{names[place]} ({reasons[place]})" for place in np.flatnonzero(broken | constant)]
    if len(dropped) == responses.sizes["neuroid"]:
        raise DataError(f"no neuroid is left of {len(dropped)}: {broken.sum()} not finite, {constant.sum()} constant")
    kept = responses.isel(neuroid=np.flatnonzero(~(broken | constant)))
    return kept.assign_attrs(dropped=dropped)
