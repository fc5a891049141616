"""Small files over which a decoder would spend hours or all memory, though their sizes are modest.

The number of pixels, which `model.image` limits, tells nothing of them. What is told here is what
no program writes; limits that Pillow and its codecs have themselves are left to them.
"""

import io
import itertools
import struct

from PIL import IcnsImagePlugin, Image, JpegImagePlugin

from model.jpeg import EXIF, SCAN, scans_of, segments

# Pillow joins each to all before it: the time is that of the square of their number.
_MOST_COMMENT_BLOCKS, _MOST_EXIF_SEGMENTS = 10_000, 1_000
# Each scan of a JPEG visits all of it, even one of no bytes; libtiff stops at as many.
_MOST_SCANS = 100
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
# OpenJPEG keeps a kilobyte for each component of each tile; Pillow reads none of more components.
_MOST_COMPONENTS, _MOST_SMALL_TILES, _SMALL_TILE_PX = 4, 1 << 14, 1 << 8
# In a codestream, what is read here of its header ends there.
_SIZES_END = 42
_CODESTREAM, _BOXED = b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  "

# Where a BLP has offset and length of its largest picture; the JPEG's header follows their tables.
_BLP_OF_JPEG, _BLP_PICTURE_AT, _BLP_HEADER_END = b"BLP1\0\0\0\0", (28, 92), 160


def bomb_before_opening(data: bytes) -> str | None:
    """What is wrong with the picture file `data`, if Pillow would take for ever to open it."""
    if data.startswith(b"GIF8") and _has_many_comments(data):
        return f"got more than {_MOST_COMMENT_BLOCKS} blocks of comments"
    if data.startswith(b"\xff\xd8") and _has_many_exif_segments(data):
        return f"got more than {_MOST_EXIF_SEGMENTS} segments of EXIF"
    return None


def bomb_before_loading(image: Image.Image, data: bytes, max_pixels: int) -> str | None:
    """What is wrong with the picture file `data`, if decoding it would not be over soon.

    Args:
        image: the file as it was opened.
        max_pixels: most pixels of a picture.
    """
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return _many_scans(image, data, _MOST_SCANS * max_pixels)
    if (pixels := tile_pixels(image)) > max_pixels:
        return f"got tiles of {pixels} pixels, expected at most {max_pixels}"
    if image.format == "JPEG2000":
        return _many_components(data)
    if jpeg := _jpeg_within(image, data):
        if bomb := bomb_before_opening(jpeg):
            return bomb
        opened = JpegImagePlugin.JpegImageFile(io.BytesIO(jpeg))
        return _many_scans(opened, jpeg, _MOST_SCANS * max_pixels)
    if isinstance(image, IcnsImagePlugin.IcnsImageFile):
        members = (data[start:] for start, _ in image.icns.dct.values())
        boxed = (each for each in members if each.startswith((_CODESTREAM, _BOXED)))
        return next(filter(None, map(_many_components, boxed)), None)
    return None


def _jpeg_within(image: Image.Image, data: bytes) -> bytes | None:
    """The JPEG that a BLP of the first kind has in two parts; None if it has none, or not all."""
    if image.format != "BLP" or not data.startswith(_BLP_OF_JPEG) or len(data) < _BLP_HEADER_END:
        return None
    offset, length = (struct.unpack_from("<I", data, at)[0] for at in _BLP_PICTURE_AT)
    (size,) = struct.unpack_from("<I", data, _BLP_HEADER_END - 4)
    start = max(offset, _BLP_HEADER_END + size)
    if len(data) < start + length:
        return None
    return data[_BLP_HEADER_END : _BLP_HEADER_END + size] + data[start : start + length]


def tile_pixels(image: Image.Image) -> int:
    """Pixels of a tile of a TIFF, which is decoded whole however little of it the picture has."""
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(_TILE_WIDTH), tags.get(_TILE_HEIGHT)
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def _has_many_comments(data: bytes) -> bool:
    """Whether a GIF has too many blocks of comments before its first frame, as Pillow walks it."""
    file, count = io.BytesIO(data), 0
    flags = data[10] if len(data) > 10 else 0
    file.seek(13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
    while count <= _MOST_COMMENT_BLOCKS and (mark := file.read(1)) not in (b"", b";", b","):
        if mark != b"!":
            continue
        label, block = file.read(1), _read_block(file)
        if label == b"\xfe":
            count += 1
            while block and count <= _MOST_COMMENT_BLOCKS:
                count, block = count + 1, _read_block(file)
            continue
        if label == b"\xff" and block.startswith(b"NETSCAPE2.0"):
            _read_block(file)
        while _read_block(file):
            pass
    return count > _MOST_COMMENT_BLOCKS


def _read_block(file: io.BytesIO) -> bytes:
    size = file.read(1)
    return file.read(size[0]) if size else b""


def _has_many_exif_segments(data: bytes) -> bool:
    found = (
        at for marker, at in segments(data) if marker == EXIF and data[at + 2 : at + 6] == b"Exif"
    )
    return next(itertools.islice(found, _MOST_EXIF_SEGMENTS, None), None) is not None


def _many_scans(image: JpegImagePlugin.JpegImageFile, data: bytes, most_pixels: int) -> str | None:
    most = most_pixels // max(1, image.width * image.height)
    first = next((at for marker, at in segments(data) if marker == SCAN), len(data))
    # Most files have one scan of all that there is, behind which libjpeg reads no other.
    single = "progressive" not in image.info and data[first + 2 : first + 3] >= bytes(
        [image.layers]
    )
    if single or (scans := scans_of(data, first - 2)[0]) <= most:
        return None
    size = f"{image.width} x {image.height} px"
    return f"got {scans} scans of {size}, expected at most {most}"


def _many_components(data: bytes) -> str | None:
    """What is wrong with a JPEG 2000, bare or in boxes, of too many components or tiles."""
    start = _find_codestream(data)
    if start is not None and len(data) < start + _SIZES_END:
        return None  # cut off: whoever decodes it has nothing to decode
    if start is None or data[start : start + 4] != _CODESTREAM:
        return "got no header of a JPEG 2000 where one must be"
    width, height, _, _, tile_width, tile_height, tile_left, tile_top, components = (
        struct.unpack_from(">8IH", data, start + 8)
    )
    if components > _MOST_COMPONENTS:
        return f"got {components} components, expected at most {_MOST_COMPONENTS}"
    area = tile_width * tile_height
    covered = (width - tile_left) * (height - tile_top)
    if area < _SMALL_TILE_PX and covered > area * _MOST_SMALL_TILES:
        return f"got tiles of {tile_width} x {tile_height} px, expected larger ones"
    return None


def _find_codestream(data: bytes) -> int | None:
    """Where the codestream of a JPEG 2000 starts, or would if the file went on.

    None if the boxes do not lead to one.
    """
    if not data.startswith(_BOXED):
        return 0
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            size, header = struct.unpack_from(">Q", data, at + 8)[0], 16
        if kind == b"jp2c":
            return at + header
        if size < header:
            return None
        at += size
    return at
