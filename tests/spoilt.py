"""Files made to do harm, or come to it: every one has to be refused in a line.

A table of bytes by name, made here and kept nowhere; that of arrays is in `spoilt_arrays`.
"""

import io
import json
import struct
import zlib

import numpy as np
from PIL import Image
from spoilt_arrays import (
    archives,
    cuts,
    flipped,
    gzipped_idx,
    heads,
    idx_files,
    saved,
    values,
    zipped,
)
from toys import BYTES

DIGITS = "5,000 digits"


def picture(kind, mode="RGB", size=(20, 14)):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(buffer, format=kind)
    return buffer.getvalue()


def png_of(width, height):
    """The head of a picture of that size, and a little of it."""
    chunk = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", chunk), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def tiff_of(tags, order="<"):
    """A file of 200 bytes of these tags: number, type, count, value."""
    body = struct.pack(order + "H", len(tags))
    for tag, kind, n, value in tags:
        body += struct.pack(order + "HHII", tag, kind, n, value)
    start = b"II*\0" if order == "<" else b"MM\0*"
    return (start + struct.pack(order + "I", 8) + body + bytes(200))[:200]


def tiffs():
    plain = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 150, 277: 1, 278: 8, 279: 64}

    def of(changes, kind=4, n=1):
        tags = {**plain, **changes}
        return tiff_of([(tag, kind, n, value) for tag, value in tags.items() if value is not None])

    return {
        "TIFF of no tag": tiff_of([]),
        "TIFF of no size": of({256: None, 257: None}),
        "TIFF of no strip": of({273: None, 279: None}),
        "TIFF of width 0": of({256: 0}),
        "TIFF of 4 GB": of({256: 2**16, 257: 2**16}),
        "TIFF of 2**62": of({256: 2**31, 257: 2**31}),
        "TIFF whose strip is beyond": of({273: 2**31}),
        "TIFF of 99 bits": of({258: 99}),
        "TIFF of an unknown compression": of({259: 9999}),
        "TIFF of spoilt LZW": of({259: 5, 279: 40}),
        "TIFF of spoilt deflate": of({259: 8, 279: 40}),
        "TIFF of spoilt JPEG": of({259: 7, 279: 40}),
        "TIFF of 7 samples": of({277: 7}),
        "TIFF of 2,000 samples": of({277: 2_000}),
        "TIFF of unknown colours": of({262: 77}),
        "TIFF of text": of({}, kind=2),
        "TIFF of rationals": of({}, kind=5),
        "TIFF of lists of 2**30": of({}, n=2**30),
        "TIFF of an unknown type": of({}, kind=99),
        "TIFF of tiles": of({322: 2**20, 323: 2**20, 324: 100, 325: 10}),
    }


def pictures():
    bad = {}
    for kind, places in (
        *(("PNG", (0, 7, 8, 20, 33, 60, 400, -200)), ("JPEG", (2, 3, 20, 160, 300))),
        *(("BMP", (2, 13, 14, 30, 54, 300, -1)), ("GIF", (3, 6, 10, 13, 200))),
        *(("TIFF", (4, 7, 8, 100, 300)), ("WEBP", (4, 8, 12, 16, 30, -100))),
        *(("PPM", (1, 2, 3, 6, 11, 100, -1)),),
    ):
        bad |= {f"{kind} cut at {at}": picture(kind)[:at] for at in places}
    for kind in ("EPS", "ICO", "PCX", "SGI", "TGA", "PDF", "MSP", "DDS", "JPEG2000"):
        bad[f"a {kind}"] = picture(kind, "1" if kind == "MSP" else "RGB")
    bad |= {
        f"PNG of {width} x {height}": png_of(width, height)
        for width, height in ((2**31 - 1, 2**31 - 1), (20_000, 9_500), (0, 5), (9, 0), (300, 300))
    }
    bad |= {
        f"PPM {head[:30]!r}": head + bytes(50)
        for head in (
            *(b"P6 99999 99999 255\n", b"P6 -3 3 255\n", b"P6 3 3 0\n", b"P6 3 3 99999999\n"),
            *(b"P5 a b c\n", b"P6 9 9 255\n", b"P6 " + b"9" * 5_000 + b" 1 255\n", b"P7 3 3 255\n"),
        )
    }
    bmp = picture("BMP")
    for name, at, value in (
        *(("a width of 2**31 - 1", 18, 2**31 - 1), ("a height of 2**31 - 1", 22, 2**31 - 1)),
        *(("3 bits", 28, 3), ("an unknown compression", 30, 77), ("a head of 3", 14, 3)),
        ("pixels beyond", 10, 2**31),
    ):
        bad[f"BMP of {name}"] = bmp[:at] + struct.pack("<I", value) + bmp[at + 4 :]
    return bad | {"text": b"no picture", "zeros": bytes(1000)} | tiffs()


def header(entries, body=b"", length=None):
    """The bytes of a safetensors file."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def weights(whole):
    """Weights spoilt, of a whole file of them."""
    n = int.from_bytes(whole[:8], "little")
    entries, body = json.loads(whole[8 : 8 + n]), whole[8 + n :]
    name = "model.prior.means"

    def of(**changes):
        return header(entries | {name: entries[name] | changes}, body)

    shape = entries[name]["shape"]
    bad = {
        f"{dtype}": of(dtype=dtype) for dtype in ("I32", "BOOL", "F8_E4M3", "U8", "C64", "evil", "")
    }
    bad |= {
        f"shape {str(sides)[:30]}": of(shape=sides)
        for sides in (
            *(
                [],
                [2**62],
                [2**70, 2],
                [-3, 2],
                [3, -2],
                [*shape, 1],
                [1.5, 4],
                [True, 6],
                None,
                "a",
            ),
            *({}, shape[::-1], [10**4000], [0, 2]),
        )
    }
    bad |= {
        f"offsets {at}": of(data_offsets=at)
        for at in ([0, 4], [-8, 16], [8, 2**63], [2**64, 2**65], [24, 0], [], None, "a", [1.0, 2])
    }
    for text in (b"[]", b"3", b"null", b'"a"', b"{", b"[" * 100_000, b"\xff\xfe", b'{"a": 1}', b""):
        bad[f"a header {text[:12]!r}"] = header(text, body)
    for length in (0, 1, n - 1, n + 1, 2**24, 2**31, 2**63, 2**64 - 1):
        bad[f"a header of {length}"] = header(whole[8 : 8 + n], body, length)
    bad |= {
        "no tensor": header({}),
        "another tensor": header(
            entries | {"evil": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, body
        ),
        "a hostile name": header({"\x1b[2J" * 1000: entries[name]}, body),
        "one missing": header({k: v for k, v in entries.items() if k != name}, body),
        "no pickle": b"\x80\4cos\nsystem\n(S'true'\ntR.",
        "a zip": zipped({"data.pkl": b"\x80\4N."}),
        "a flipped bit": flipped(whole, len(whole) - 3),
        "a flipped bit at the start": flipped(whole, 8 + n),
        "NaN": whole[: 8 + n] + struct.pack("<f", np.nan) + body[4:],
        "zeros": whole[: 8 + n] + bytes(len(body)),
    }
    return bad | cuts("weights", whole, (0, 4, 8, 9, 100, 8 + n, -200, -4, -1))


def configurations(whole):
    """Configurations spoilt, of a whole one as text."""
    written = json.loads(whole)

    def of(**model):
        return written | {"component_classes": None, "model": written["model"] | model}

    bad = {
        f"{field} {str(value)[:24]}": of(**{field: value})
        for field, sizes in {
            "n_components": (0, -1, 2**62, 2**63, 10**8, DIGITS, 3.0, "3", None, True, [3], {}),
            "latent_dim": (0, -1, 10_001, 2**62, 2.0, "2", None, False),
            "image_shape": (
                *([], [1], [1, 3], [1, 3, 4, 5], [1, 0, 4], [1, 2**31, 4], [2**31 - 1] * 3),
                *("abc", None, 12, [1.0, 3, 4], ["1", 3, 4], [1, 10_000, 10_000]),
            ),
            "hidden": ([], [0], [2**63], [1] * 2_000, [40_000, 40_000], "a", [[1]], None, [True]),
            "assigner_hidden": ([], [2**40], [50_000], None),
            "channels": ([], [0], [-1], ["a"], 3),
            "covariance": ("tied", "", None, 3, "x" * 100_000),
            "network": ("vit", None, "\x1b[2J"),
            "likelihood": ("poisson", 1),
            "guide": ("flow", None, 2, ["full"]),
            "assignment": ("none", ["exact"]),
            "grey": (1, None, "yes"),
            "custom": (["prior"], "encoder", [1], None),
        }.items()
        for value in sizes
    }
    texts = {name: _json(config) for name, config in bad.items()}
    for name, value in (
        *(
            ("format", 2),
            ("format", None),
            ("format", "x" * 10_000),
            ("model", None),
            ("model", []),
        ),
        *(
            ("component_classes", [1]),
            ("component_classes", "abc"),
            ("component_classes", [1, 2, -3]),
        ),
        *(("component_classes", [1, 2, 2**63]), ("component_classes", [1.0, 2, 3])),
        *(("weights_sha256", "0" * 64), ("weights_sha256", 3), ("weights_sha256", "abc")),
        *(("model", {"\x1b[2J" * 1_000: 1}),),
    ):
        texts[f"{name}: {str(value)[:30]}"] = _json(written | {name: value})
    for name, text in (
        *(("nothing", b""), ("a bracket", b"{"), ("brackets", b"[" * 100_000), ("a list", b"[]")),
        *(
            ("a number", b"3"),
            ("digits", b"9" * 10_000),
            ("no UTF-8", b"\xff\xfe{}"),
            ("NaN", b"NaN"),
        ),
        *(("zeros", bytes(1_000)), ("17 MB", b" " * (17 * 10**6)), ("pickled", b"\x80\4N.")),
        *(("cut", whole[:100].encode()), ("and more", whole.encode() + b"}")),
    ):
        texts[name] = text
    return texts


def _json(config):
    """JSON, with a number longer than Python writes where DIGITS stands."""
    return json.dumps(config).replace(f'"{DIGITS}"', "9" * 5_000).encode()


TOML = {
    "no value": b"epochs =",
    "no key": b"= 3",
    "no TOML": b"epochs: 3",
    "JSON": b'{"epochs": 3}',
    "null bytes": bytes(100),
    "no UTF-8": b"\xff\xfe",
    "twice": b"a = 1\na = 2",
    "brackets": b"a = " + b"[" * 4_990,
    "braces": b"a = " + b"{b = " * 990,
    "5,000 brackets": b"a = " + b"[" * 5_000,
    "a number of 4,990 digits": b"a = " + b"9" * 4_990,
    "50,000 dots": b"a" + b".a" * 50_000 + b" = 1",
    "200,000 lines": b"#\n" * 200_000,
    "an open string": b'a = "',
    "an open string of lines": b'a = """\n\n',
    "a date that is none": b"a = 2026-99-99",
    "an escape that is none": b'a = "\\q"',
    "a control character": b'a = "\x1b[2J"',
    "a surrogate": b'a = "\\ud800"',
}

IMAGES = {
    "npy": lambda: (
        heads() | values() | cuts("npy", saved(BYTES), (0, 5, 6, 8, 9, 10, 60, 127, 128, -1))
    ),
    "npz": archives,
    "idx": idx_files,
    "idx.gz": gzipped_idx,
    "png": pictures,
}
