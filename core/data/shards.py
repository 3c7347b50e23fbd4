"""Tar shards read at random through an index that is built once.

Plain streaming could not resume a run exactly.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import atomic_write, check_input_file, kind_of
from .stores import MAX_ENTRY_BYTES, Entry
from .tables import read_bounded
from .tar import Member, members

FORMAT = 1
MAX_SHARDS = 100_000
MAX_INDEX_BYTES = 4 * 1024**3
_HEAD = 4096  # the index has the checksums, so the head serves for sizes only
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")


def expand_braces(pattern: str) -> list[str]:
    """`a-{000..012}.tar` and `{x,y}.tar` as the names they stand for.

    Raises:
        InputError: too many names, or a range that runs backwards.
    """
    parts = _BRACES.split(pattern)
    choices: list[list[str]] = []
    total = 1
    for place, part in enumerate(parts):
        if place % 2 == 0:
            choices.append([part])
            continue
        found = _RANGE.fullmatch(part)
        if found is None:
            words = part.split(",")
        else:
            first, last = int(found[1]), int(found[2])
            if last < first or last - first >= MAX_SHARDS:
                raise InputError(f"{pattern[:200]}: expected a growing range, got {{{part}}}")
            words = [str(n).zfill(len(found[1])) for n in range(first, last + 1)]
        total *= len(words)
        if total > MAX_SHARDS:
            raise InputError(f"{pattern[:200]}: more than {MAX_SHARDS} shards")
        choices.append(words)
    return ["".join(words) for words in product(*choices)]


def find_shards(text: str) -> list[Path]:
    """The shards of a folder, of a name with braces, or of a plain name.

    Raises:
        InputError: none, or one that is not there.
    """
    path = Path(text)
    if kind_of(path) == "a folder":
        found = sorted(path.glob("*.tar"))
        if not found:
            raise InputError(f"{path}: expected .tar shards in this folder, got none")
    else:
        found = [Path(name) for name in expand_braces(text)]
    for shard in found:
        check_input_file(shard, "a tar shard")
    return found


class TarStore:
    """The members of tar shards under names `SHARD:MEMBER`, in the order of the shards.

    Files are opened for each read, so that any number of threads and processes may read.
    """

    def __init__(self, text: str, cache: Path | None = None) -> None:
        self._shards = find_shards(text)
        self.where = text
        self.name = Path(text).resolve().name if len(self._shards) == 1 else Path(text).name
        self._entries: dict[str, tuple[Path, Member]] = {}
        unique = len({shard.name for shard in self._shards}) == len(self._shards)
        for number, found in enumerate(self._index(cache)):
            shard = self._shards[number]
            for member in found:
                name = f"{shard.name if unique else number}:{member.name}"
                if name in self._entries:
                    raise InputError(f"{shard}: {member.name[:200]} is there twice")
                self._entries[name] = (shard, member)
        self.names: Sequence[str] = list(self._entries)

    def _index(self, cache: Path | None) -> list[list[Member]]:
        """Members of each shard, from the index in the cache folder where that is up to date."""
        if cache is None:
            return [list(members(shard)) for shard in self._shards]
        state = [
            [shard.name, stat.st_size, stat.st_mtime_ns]
            for shard in self._shards
            for stat in [shard.stat()]
        ]
        places = "\n".join(str(shard.resolve()) for shard in self._shards)
        key = hashlib.sha256(places.encode("utf-8", "surrogateescape")).hexdigest()
        path = cache / f"shards-{key[:24]}.json"
        if path.is_file():
            stored = parse_index(read_bounded(path, MAX_INDEX_BYTES), state)
            if stored is not None:
                return stored
        found = [list(members(shard)) for shard in self._shards]
        content = {"format": FORMAT, "shards": state, "members": found}
        atomic_write(path, json.dumps(content, separators=(",", ":")))
        return found

    def entry(self, name: str) -> Entry:
        """First bytes, length, and the checksum of the first 64 KiB."""
        shard, member = self._entries[name]
        head = self._bytes(shard, member, min(member.length, _HEAD))
        return Entry(head, member.length, member.crc)

    def read(self, name: str, limit: int = MAX_ENTRY_BYTES) -> bytes:
        """A whole member."""
        shard, member = self._entries[name]
        if member.length > limit:
            raise InputError(f"{self.where}:{name}: larger than {limit} bytes")
        return self._bytes(shard, member, member.length)

    def _bytes(self, shard: Path, member: Member, count: int) -> bytes:
        try:
            with shard.open("rb", buffering=0) as file:
                file.seek(member.offset)
                data = file.read(count) or b""
        except OSError as error:
            raise InputError(f"{shard}: cannot be read ({error.strerror or error})") from error
        if len(data) != count:
            raise InputError(f"{shard}: {member.name} is cut off")
        return data


def parse_index(data: bytes, state: list[Any]) -> list[list[Member]] | None:
    """The members of each shard from an index; None if it is damaged or of other shards."""
    try:
        content = json.loads(data)
        if content["format"] != FORMAT or content["shards"] != state:
            return None
        found = [
            [
                Member(str(name), int(offset), int(length), int(crc))
                for name, offset, length, crc in shard
            ]
            for shard in content["members"]
        ]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    inside = all(
        member.offset >= 0 and member.length >= 0 and member.offset + member.length <= size
        for shard, (_, size, _) in zip(found, state, strict=False)
        for member in shard
    )
    return found if inside and len(found) == len(state) else None
