"""`make perf`: every ratio, measured in one process run, beside its target."""

import importlib
import operator
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMPARED = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


def main(names: list[str]) -> None:
    """Print the rows of each module here, or of those named."""
    sys.path.insert(0, str(HERE))
    for name in names or sorted(path.stem for path in HERE.glob("[a-z]*.py")):
        print(f"# {name}", flush=True)
        for what, figure, target in importlib.import_module(name).measure():
            print(f"{what:<86} {figure:>9.3f}   {target}{'   MISSED' if missed(figure, target) else ''}", flush=True)


def missed(figure: float, target: str) -> bool:
    """Whether a figure is on the wrong side of a target such as "<= 1.1"; without a target, never."""
    if not target:
        return False
    relation, _, bound = target.partition(" ")
    return not COMPARED[relation](figure, float(bound))


if __name__ == "__main__":
    main(sys.argv[1:])
