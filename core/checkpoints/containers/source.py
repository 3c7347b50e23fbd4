"""Bytes read with distrust: nothing past the end, nothing allocated before it is known to exist."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import cast

import torch
from torch import Tensor

from ...errors import InputError

_CHUNK = 1 << 16
ENDS_EARLY = "the file ends early: it is damaged or was not downloaded in full"


class Source:
    """Random access to a file, or to bytes in memory; closed by its `with` block."""

    def __init__(self, path: Path | None = None, data: bytes = b"") -> None:
        self._data = data
        self._file = None if path is None else path.open("rb", buffering=0)
        self.size = len(data) if self._file is None else os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was read stays."""
        if self._file is not None:
            self._file.close()

    def read(self, offset: int, count: int) -> bytes:
        """Read exactly `count` bytes.

        Raises:
            InputError: there are fewer.
        """
        self._check(offset, count)
        if self._file is None:
            return self._data[offset : offset + count]
        self._file.seek(offset)
        parts: list[bytes] = []
        while count:
            part = self._file.read(count)
            if not part:
                raise InputError(ENDS_EARLY)
            parts.append(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_tensor(self, offset: int, count: int) -> Tensor:
        """Read exactly `count` bytes into memory of their own, uint8 [count].

        Raises:
            InputError: there are fewer.
        """
        self._check(offset, count)
        result = torch.empty(count, dtype=torch.uint8)
        view = memoryview(cast("bytearray", result.numpy()))
        if self._file is None:
            view[:] = self._data[offset : offset + count]
            return result
        self._file.seek(offset)
        done = 0
        while done < count:
            read = self._file.readinto(view[done:])
            if not read:
                raise InputError(ENDS_EARLY)
            done += read
        return result

    def _check(self, offset: int, count: int) -> None:
        if offset < 0 or count < 0 or offset + count > self.size:
            raise InputError(ENDS_EARLY)


@dataclass(frozen=True)
class Blob:
    """A stretch of a source that is read only when it is needed: the pickled `bytes` objects."""

    source: Source
    offset: int
    length: int

    def read(self, limit: int) -> bytes:
        """All of it, at most `limit` bytes.

        Raises:
            InputError: it is longer.
        """
        if self.length > limit:
            raise InputError(f"{self.length} bytes lie where at most {limit} were expected")
        return self.source.read(self.offset, self.length)


class Stream:
    """Reads a source from `start` to `end` in order."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        if not 0 <= start <= end <= source.size:
            raise InputError(ENDS_EARLY)
        self.source = source
        self.end = end
        self._next = start  # the source's offset after the buffer
        self._buffer = b""
        self._at = 0

    @property
    def position(self) -> int:
        """Offset in the source of the next byte."""
        return self._next - len(self._buffer) + self._at

    def read(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            InputError: there are fewer.
        """
        stop = self._at + count
        if stop <= len(self._buffer):
            data = self._buffer[self._at : stop]
            self._at = stop
            return data
        if count > self.end - self.position:
            raise InputError(ENDS_EARLY)
        start = self.position
        if count >= _CHUNK:
            data = self.source.read(start, count)
            self._next, self._buffer, self._at = start + count, b"", 0
            return data
        self._buffer = self.source.read(start, min(_CHUNK, self.end - start))
        self._next = start + len(self._buffer)
        self._at = count
        return self._buffer[:count]

    def blob(self, count: int) -> Blob:
        """Step over the next `count` bytes.

        Raises:
            InputError: there are fewer.
        """
        start = self.position
        if count > self.end - start:
            raise InputError(ENDS_EARLY)
        if self._at + count <= len(self._buffer):
            self._at += count
        else:
            self._next, self._buffer, self._at = start + count, b"", 0
        return Blob(self.source, start, count)

    def line(self, limit: int) -> str:
        """Text up to the next newline, which is dropped.

        Raises:
            InputError: longer than `limit`, or no UTF-8.
        """
        data = bytearray()
        while (byte := self.read(1)) != b"\n":
            data += byte
            if len(data) > limit:
                raise InputError(f"a name of more than {limit} characters is not accepted")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError("a name in the file is not UTF-8 text") from None
