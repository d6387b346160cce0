"""Files that may be compressed -> their content, piece by piece: as much memory however far it unpacks.

Owns what is wrong with a compressed file: the end of it missing, damage, a window that takes too much memory.
"""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import zstandard

PIECE = 1 << 16
"""Bytes of a piece at most."""
WINDOW = 1 << 29
"""Bytes of the largest window of zstd that is read; `zstd --long=29` writes it."""

_HEAD = 18
"""Bytes of the longest head of a frame of zstd."""
_ZSTD, _ZSTD_SKIPPABLE = b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"


class PackedError(ValueError):
    """A compressed file that can't be read to its end: one line without the file's name."""


class BrokenOffError(PackedError):
    """A compressed file whose end is missing."""


def pieces(file: io.BufferedReader) -> Iterator[bytes]:
    """Content of a file, unpacked where its first bytes are those of zstd, gzip, bzip2, xz or zip.

    Raises PackedError.
    """
    magic = file.peek(6)[:6]
    if magic[:4] == _ZSTD or (magic[1:4] == _ZSTD_SKIPPABLE and magic[0] >> 4 == 5):
        return _zstd(file)
    if magic[:2] == b"\x1f\x8b":
        return _read("gzip", gzip.GzipFile(fileobj=file))
    if magic[:3] == b"BZh":
        return _read("bzip2", bz2.BZ2File(file))
    if magic == b"\xfd7zXZ\0":
        return _read("xz", lzma.LZMAFile(file))
    if magic[:4] == b"PK\x03\x04":
        return _read("zip", file, inside=True)
    return iter(lambda: file.read(PIECE), b"")


def _read(kind: str, file: IO[bytes] | io.BufferedIOBase, inside: bool = False) -> Iterator[bytes]:
    try:
        if inside:
            file = _only_member(file)
        while piece := file.read(PIECE):
            yield piece
    except EOFError:
        raise BrokenOffError(f"ends in the middle of what {kind} has packed") from None
    except (zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise PackedError(f"is no whole {kind} file ({error})") from None


def _only_member(file: IO[bytes] | io.BufferedIOBase) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise zipfile.BadZipFile(f"expected one file in it, found {len(names)}")
    return archive.open(names[0])


def _zstd(file: io.BufferedReader) -> Iterator[bytes]:
    frame = None
    head = b""
    while data := file.read(1 << 8):  # few at a time: four bytes may unpack to 128 KiB
        while data:
            if frame is None:
                frame, head = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj(), b""
            head = (head + data)[:_HEAD]
            try:
                unpacked = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise PackedError(_too_wide(head) or str(error)) from None
            yield from (unpacked[start : start + PIECE] for start in range(0, len(unpacked), PIECE))
            data = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise BrokenOffError("ends in the middle of a zstd frame")


def _too_wide(head: bytes) -> str | None:
    """What is wrong with a frame whose window is too large; None where it is something else."""
    try:
        window = zstandard.get_frame_parameters(head).window_size
    except zstandard.ZstdError:
        return None
    if window <= WINDOW:
        return None
    return f"needs a window of {window >> 20} MiB, read are at most {WINDOW >> 20} MiB: pack it again without --long"
