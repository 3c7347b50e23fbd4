"""The table of contents of a zip archive, read with distrust; for stored (not packed) members.

Format: PKWARE's APPNOTE.TXT, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to
4.3.16 (its end, also in the 64-bit form). torch.save stores its members as they are, so nothing is
ever unpacked here and no archive can grow while it is read.
"""

import struct

from ...errors import InputError
from .source import Blob, Source

MAX_DIRECTORY_BYTES = 1 << 25
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_MEMBER = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED = 1
_DAMAGED = "the zip archive is damaged or was not downloaded in full"


def read_zip(source: Source) -> dict[str, Blob]:
    """Members of a zip archive by name, none of them read.

    Raises:
        InputError: damaged, split, encrypted or packed.
    """
    start, length = _directory(source)
    if length > MAX_DIRECTORY_BYTES:
        raise InputError(f"the zip archive has a directory of {length} bytes")
    data = source.read(start, length)
    members: dict[str, Blob] = {}
    at = 0
    while at < length:
        if at + _MEMBER.size > length:
            raise InputError(_DAMAGED)
        entry = _MEMBER.unpack_from(data, at)
        signature, flags, method, packed, size = entry[0], entry[3], entry[4], entry[8], entry[9]
        name_length, extra_length, comment_length, offset = *entry[10:13], entry[16]
        at += _MEMBER.size
        stop = at + name_length + extra_length
        if signature != b"PK\x01\x02" or stop + comment_length > length:
            raise InputError(_DAMAGED)
        name = data[at : at + name_length].decode("utf-8", "replace")
        extra = data[at + name_length : stop]
        at = stop + comment_length
        size, packed, offset = _wide(extra, size, packed, offset)
        if flags & _ENCRYPTED or method != 0 or size != packed:
            raise InputError(
                f"member {name[:60]!a} of the zip archive is packed or encrypted, as "
                "torch.save never writes it; unpack the archive first"
            )
        if name in members:
            raise InputError(f"member {name[:60]!a} appears twice in the zip archive")
        members[name] = _member(source, offset, size)
    return members


def _directory(source: Source) -> tuple[int, int]:
    """Where the central directory starts, and its length."""
    tail_length = min(source.size, _END.size + _FULL16)
    tail_start = source.size - tail_length
    tail = source.read(tail_start, tail_length)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + _END.size > tail_length:
        raise InputError(_DAMAGED)
    end = _END.unpack_from(tail, found)
    length, start = end[5], end[6]
    locator = found - _LOCATOR64.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
        at: int = _LOCATOR64.unpack_from(tail, locator)[2]
        if at + _END64.size > source.size:
            raise InputError(_DAMAGED)
        end64 = _END64.unpack(source.read(at, _END64.size))
        if end64[0] != b"PK\x06\x06":
            raise InputError(_DAMAGED)
        length, start = end64[8], end64[9]
    if start + length > source.size:
        raise InputError(_DAMAGED)
    return start, length


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Take the 64-bit values of those fields that are full, from the zip64 extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            numbers = iter(
                struct.unpack_from(f"<{length // 8}Q", extra[: at + 4 + length], at + 4)
                if at + 4 + length <= len(extra)
                else ()
            )
            try:
                size = next(numbers) if size == _FULL32 else size
                packed = next(numbers) if packed == _FULL32 else packed
                offset = next(numbers) if offset == _FULL32 else offset
            except StopIteration:
                raise InputError(_DAMAGED) from None
        at += 4 + length
    return size, packed, offset


def _member(source: Source, offset: int, size: int) -> Blob:
    if offset + _LOCAL.size > source.size:
        raise InputError(_DAMAGED)
    local = _LOCAL.unpack(source.read(offset, _LOCAL.size))
    start = offset + _LOCAL.size + local[9] + local[10]
    if local[0] != b"PK\x03\x04" or start + size > source.size:
        raise InputError(_DAMAGED)
    return Blob(source, start, size)
