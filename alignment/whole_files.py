"""Files that are there whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alignment.errors import DataError


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A place beside `target` to write to; it gets its name, replacing what had it, when the block ends without error.

    Parameters
    ----------
    target : Path
        Its folder is made where it is missing.

    Yields
    ------
    Path
        `.<name>.<process>.<number>.partial`, not yet there; removed when the block ends with an error.

    Raises
    ------
    DataError
        The folder or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "rdms.h5") as partial:
    ...         _ = partial.write_bytes(b"all of it")
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['rdms.h5']
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {target} ({error.strerror or error}); name another place") from None
