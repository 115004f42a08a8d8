"""Changes of a layer's patterns, and which of them a measure does not see.

A measure is invariant to a change when its value stays the same, up to rounding, whatever the layer and the change.
"""

from collections.abc import Mapping, Sequence

ROTATION = "rotation"
ORDER = "order of units"
SCALE = "positive scale of all units together"
SHIFT = "shift of all patterns together"
UNIT_SCALE = "positive scale of each unit"
PATTERN_SCALE = "positive scale of each pattern"
PATTERN_SHIFT = "constant added to all units of a pattern"

CHANGES = (ROTATION, ORDER, SCALE, SHIFT, UNIT_SCALE, PATTERN_SCALE, PATTERN_SHIFT)

# whatever depends on the differences between patterns, through their inner products and up to a factor
OF_SHAPE = (ROTATION, ORDER, SCALE, SHIFT)
# whatever takes units one by one, and standardises them
OF_UNITS = (ORDER, SCALE, SHIFT, UNIT_SCALE)

# of `alignment.rsa.DISTANCES`: what leaves an RDM as it is, up to a factor that no comparator sees; crossnobis is of a
# brain, and these are changes of the layer, whose distances are squared Euclidean there
OF_DISTANCES: Mapping[str, tuple[str, ...]] = {
    "1-pearson": (ORDER, SCALE, PATTERN_SCALE, PATTERN_SHIFT),
    "1-cosine": (ROTATION, ORDER, SCALE, PATTERN_SCALE),
    "euclidean": OF_SHAPE,
    "squared-euclidean": OF_SHAPE,
    "squared-euclidean/units": OF_SHAPE,
    "crossnobis/units": OF_SHAPE,
}


def said_of(invariances: Sequence[str]) -> str:
    """What an identity card says: the changes that are not seen, then those that are.

    Parameters
    ----------
    invariances : sequence of str
        Some of `CHANGES`.

    Examples
    --------
    >>> said_of(OF_SHAPE)[:50], said_of(OF_SHAPE)[-40:]
    ('rotation, order of units, positive scale of all un', 'constant added to all units of a pattern')
    """
    seen = [change for change in CHANGES if change not in invariances]
    return f"{', '.join(invariances)}; not: {', '.join(seen)}"
