"""Small data sets in the layouts of published ones, written by hand."""

import gzip
import io
import json
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image


def pixels(number, width=16, height=None):
    """Smooth random colours, so that JPEG and resampling change them little."""
    coarse = np.random.default_rng(number).integers(40, 216, (4, 4, 3), dtype=np.uint8)
    size = (width, height or width)
    return np.array(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def encoded(image, kind="PNG", **options):
    """Bytes of an image file."""
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def deep_png(image):
    """Bytes of a PNG of 16-bit colours, uint16 [H, W, 3], which Pillow itself does not write."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in image)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def write(root, files):
    """Files by name under a folder."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def celeba_texts(count):
    """The text files of a CelebA of `count` images.

    Image i smiles if i is odd, is male if i // 2 is, and always young; persons are 10 + i // 2;
    the parts are 0, 1, 2 in turn; the left eye lies at (60 + i, 110).
    """
    names = [f"{i + 1:06d}.jpg" for i in range(count)]
    attributes = [
        f"{'1' if i % 2 else '-1'}  {'1' if i // 2 % 2 else '-1'}  1" for i in range(count)
    ]
    marks = [f"{60 + i} 110 {108 + i} 110 86 135 68 155 106 155" for i in range(count)]
    heads = " ".join(f"{place}_{axis}" for place in ("le", "re", "n", "lm", "rm") for axis in "xy")

    def table(head, rows):
        lines = [f"{name} {row}" for name, row in zip(names, rows, strict=True)]
        return "\n".join([*head, *lines]) + "\n"

    return {
        "list_attr_celeba.txt": table([str(count), "Smiling Male Young "], attributes),
        "identity_CelebA.txt": table([], [10 + i // 2 for i in range(count)]),
        "list_landmarks_align_celeba.txt": table([str(count), heads], marks),
        "list_eval_partition.txt": table([], [i % 3 for i in range(count)]),
    }


def celeba_images(count):
    """Images of 178 x 218 under CelebA's names."""
    return {
        f"img_align_celeba/{i + 1:06d}.jpg": encoded(pixels(i, 178, 218), "JPEG", quality=95)
        for i in range(count)
    }


def idx_bytes(array, packed=False):
    """An array of unsigned bytes as an IDX file."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = head + array.astype(np.uint8).tobytes()
    return gzip.compress(data, mtime=0) if packed else data


def tar_bytes(files, **options):
    """A tar file of named files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


MAGIC = struct.pack("<I", 0xCED7230A)


def record_bytes(records):
    """RecordIO file and index of (labels, image) records; the magic number in one cuts it."""
    body, index = b"", []
    for key, (labels, image) in enumerate(records):
        index.append(f"{key}\t{len(body)}")
        flag = 0 if isinstance(labels, (int, float)) else len(labels)
        label = labels if flag == 0 else 0.0
        data = struct.pack("<IfQQ", flag, label, key, 0)
        data += struct.pack(f"<{flag}f", *labels) if flag else b""
        parts = (data + image).split(MAGIC)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            kind = 0 if len(parts) == 1 else 1 if number == 0 else 3 if last else 2
            body += MAGIC + struct.pack("<I", kind << 29 | len(part)) + part
            body += bytes(-len(part) % 4)
    return body, "\n".join(index) + "\n"


def ffhq_table(count, categories):
    """Text of ffhq-dataset-v2.json: landmark k of image i lies at (8 k + i, 4 k)."""
    return json.dumps(
        {
            str(i): {
                "category": categories[i],
                "image": {
                    "file_path": f"images1024x1024/00000/{i:05d}.png",
                    "face_landmarks": [[8.0 * k + i, 4.0 * k] for k in range(68)],
                },
                "in_the_wild": {"face_quad": [[0, 0]] * 4, "face_landmarks": [[1, 2]] * 68},
            }
            for i in range(count)
        }
    )
