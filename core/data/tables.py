"""Text files that come with published data sets, as tables of bounded size."""

from __future__ import annotations

import zlib
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..files import check_input_file
from .description import MAX_NUMBER
from .sources import Row
from .stores import Store

_FOLDERS = ("", "Anno", "Eval", "../Anno", "../Eval")  # CelebA's own, beside its Img
MAX_TEXT_BYTES = 512 * 1024 * 1024


class Texts:
    """Text files of a data set: in its store, or in the folder around it.

    Attributes:
        rows: name, length and checksum of each file that was read.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._inside: dict[str, str] = {}
        for name in reversed(store.names):
            self._inside[name.rpartition("/")[2]] = name
        self.rows: list[Row] = []

    def read(self, *names: str) -> bytes | None:
        """The first of these files that is there.

        Raises:
            InputError: unreadable, or too large.
        """
        for name in names:
            if name in self._inside:
                data = self._store.read(self._inside[name], MAX_TEXT_BYTES)
            else:
                around = [self._folder / part / name for part in _FOLDERS]
                found = next((path for path in around if path.is_file()), None)
                if found is None:
                    continue
                data = read_bounded(found, MAX_TEXT_BYTES)
            self.rows.append((name, len(data), zlib.crc32(data)))
            return data
        return None

    def lines(self, *names: str) -> list[str] | None:
        """Lines of the first of these files that is there, without empty ones at the end.

        Raises:
            InputError: too large, or no UTF-8 text.
        """
        data = self.read(*names)
        return None if data is None else text_lines(data, names[0])


def read_bounded(path: Path, limit: int) -> bytes:
    """A whole regular file.

    Raises:
        InputError: unreadable, or more than `limit` bytes.
    """
    check_input_file(path, "a regular file")
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path}: larger than {limit} bytes")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def text_lines(data: bytes, where: str) -> list[str]:
    """Lines of UTF-8 text, without a byte-order mark and without empty lines at the end."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8 text ({error.reason})") from error
    return text.rstrip().splitlines()


def named_numbers(
    lines: list[str], columns: int | None, where: str, first_line: int = 1
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Lines of a file name and numbers, separated by blanks or commas.

    Args:
        lines: the rows.
        columns: numbers expected in each; None is as many as in the first row.
        where: what errors call the file.
        first_line: number of the first line, for errors.

    Returns:
        N names and float32 [N, columns].

    Raises:
        InputError: a row of another length, something that is no finite number, or a name twice.
    """
    names: list[str] = []
    values = array("d")
    for number, line in enumerate(lines, first_line):
        name, *cells = line.replace(",", " ").split()[: 1 + 2**16] or [""]
        if columns is None:
            columns = len(cells)
        try:
            row = [float(cell) for cell in cells]
        except ValueError as error:
            raise InputError(f"{where}: line {number}: {error}") from error
        if len(row) != columns:
            raise InputError(
                f"{where}: line {number}: expected a name and {columns} numbers, got {line[:80]!r}"
            )
        names.append(name)
        values.extend(row)
    table = np.array(values, dtype=np.float64).reshape(len(names), columns or 0)
    if not (np.abs(table) <= MAX_NUMBER).all():
        raise InputError(f"{where}: expected finite numbers")
    if len(set(names)) != len(names):
        raise InputError(f"{where}: a name is listed twice")
    return names, table.astype(np.float32)
