"""Arrays in files of NumPy and IDX, spoilt: bytes by what is wrong with them."""

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib

import numpy as np
from toys import BYTES, LABELS, idx

GOOD = "(5, 4, 6)"
BODY = BYTES.tobytes()


def cuts(name, content, places, more=(b"\0", b"PK\5\6", b"\n")):
    """The content cut at places, negative ones from its end, and with something after its end."""
    return {f"{name} cut at {at}": content[:at] for at in places} | {
        f"{name} and {end!r}": content + end for end in more
    }


def npy(descr="'|u1'", shape=GOOD, fortran="False", rest="", version=1, body=BODY):
    """An array's file, its head written by hand."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}{rest}}}\n"
    return headed(text.encode("latin-1"), version, body)


def headed(text, version=1, body=BODY, length=None):
    length = len(text) if length is None else length
    width = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(width, "little") + text + body


def heads():
    """Arrays that cannot be, by what is wrong with them."""
    shapes = [
        *(
            "(-20, 8, 8)",
            "(True, 8, 8)",
            "(-5, -4, 6)",
            "(4, 4, 6)",
            "(6, 4, 6)",
            "(5, 4)",
            "(120,)",
        ),
        *("()", "(5.0, 4, 6)", "None", "'a'", "[5, 4, 6]", "(0, 4, 6)", "(5, 0, 6)", "5", "{}"),
        *(
            f"({2**70}, 4, 6)",
            f"({2**62}, 4, 6)",
            f"({2**40}, 4, 6)",
            f"({2**31}, {2**31}, {2**31})",
        ),
        *(
            f"({'9' * 4_999}, 1, 1)",
            "(1,) * 5",
            "(5, 4, 6" + ", 1" * 70 + ")",
            "(5, None, 6)",
            "(0,) ",
        ),
        *(
            "(" * 150 + ")" * 150,
            "-" * 9_000 + "1",
            "__import__('os')",
            "(5, 4, 6j)",
            "(1, 2, 3, 4, 5)",
        ),
    ]
    descriptions = [
        *(
            "()",
            "'|O'",
            "'O'",
            "'<U9'",
            "'S3'",
            "'V1'",
            "'<c8'",
            "'<M8[s]'",
            "'<f99'",
            "''",
            "None",
        ),
        *(
            "3",
            "'|b2'",
            "[]",
            "[[]]",
            "[('a', '<i4')]",
            "[('a', '|O')]",
            "('<f4', (1099511627776,))",
        ),
        *("b'|u1'", "'|u1, |u1'", "'<U0'", "{'a': 1}", "'<i4'", "'>f8'", "('|u1',)"),
    ]
    return {
        **{f"shape {shape[:30]}": npy(shape=shape) for shape in shapes},
        **{f"type {descr[:30]}": npy(descr) for descr in descriptions},
        **{f"order {order}": npy(fortran=order) for order in ("2", "None", "'F'", "[]")},
        **{f"version {n}": npy(version=n) for n in (0, 4, 255)},
        **{f"a key more {rest}": npy(rest=rest) for rest in (", 'evil': 1", ", 1: 2", ", []: 1")},
        "no dictionary": headed(b"[1, 2]\n"),
        "a dictionary of nothing": headed(b"{}\n"),
        "no Python": headed(b"{'descr': <f4>}\n"),
        "null bytes": headed(b"\0" * 60),
        "no ASCII": headed(b"\xff\xfe" * 30),
        "open brackets": headed(b"{" * 5_000),
        "no text": headed(b""),
        "a head of 65,535": headed(b"{}", length=65_535),
        "a head of 4 GB": headed(b"{}", 2, length=2**32 - 1),
        "a head of 2 GB in version 3": headed(b"{}", 3, length=2**31),
        "a long head": headed(b" " * 20_000),
    }


def values():
    """Pixels that are none."""
    array = BYTES.astype(np.float64)
    bad = {}
    for name, value in (
        *(("NaN", np.nan), ("infinity", np.inf), ("minus infinity", -np.inf), ("-1", -1.0)),
        *(("256", 256.0), ("1e300", 1e300)),
    ):
        changed = array.copy()
        changed[3, 1, 2] = value
        bad[f"a pixel of {name}"] = saved(changed)
    for name, changed in (
        *(("16 greys", BYTES % 16), ("a little over 1", BYTES / 230), ("complex", BYTES * 1j)),
        *(("text", BYTES.astype(str)), ("times", BYTES.astype("M8[s]")), ("rows", BYTES[0])),
        *(("five axes", BYTES[None, None]), ("12 bits", BYTES.astype(np.uint16) * 16)),
        *(("large", BYTES.astype(np.uint32) * 200), ("signed", BYTES.astype(np.int16) - 9)),
    ):
        bad[f"pixels, {name}"] = saved(changed)
    return bad


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def zipped(members, kind=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def declared(archive, size):
    """The archive, its directory saying that its first member is of that size unpacked."""
    at = archive.index(b"PK\1\2")
    return archive[: at + 24] + struct.pack("<I", size) + archive[at + 28 :]


def replaced_in_directory(archive, offset, content):
    at = archive.index(b"PK\1\2") + offset
    return archive[:at] + content + archive[at + len(content) :]


def archives():
    good, labels = saved(BYTES), saved(LABELS)
    whole = zipped({"data.npy": good, "labels.npy": labels})
    stored = zipped({"data.npy": good}, zipfile.ZIP_STORED)
    data = {"data.npy": good}
    zeros = bytes(10**7)
    bad = {
        "no member": zipped({}),
        "other names": zipped({"faces.npy": good, "y.npy": labels}),
        "hostile names": zipped({"\x1b[2J.npy": good, "../../etc/passwd.npy": good}),
        "many names": zipped({f"{i:060}": b"" for i in range(2_000)}),
        "label": zipped(data | {"label.npy": labels[:-3]}),
        "no array": zipped({"data.npy": b"1, 2, 3"}),
        "nothing in it": zipped({"data.npy": b""}),
        "an array and more": zipped({"data.npy": good + b"\0"}),
        "an array and 10 MB": zipped({"data.npy": good + zeros}),
        "a head of 10 MB": zipped({"data.npy": headed(b"", 2, zeros, 10**7)}),
        "another size declared, 0": declared(whole, 0),
        "another size declared, 4 GB": declared(whole, 2**32 - 2),
        "another sum": replaced_in_directory(stored, 16, b"\1\2\3\4"),
        "encrypted": replaced_in_directory(stored, 8, b"\1\0"),
        "an unknown method": replaced_in_directory(stored, 10, b"\x63\0"),
        "deflated, it says": replaced_in_directory(stored, 10, b"\x08\0"),
        "bzip2, it says": replaced_in_directory(whole, 10, b"\x0c\0"),
        "LZMA, it says": replaced_in_directory(whole, 10, b"\x0e\0"),
        "an offset beyond": replaced_in_directory(stored, 42, b"\xff\xff\xff\x7f"),
        "a directory further on": whole[:-6] + struct.pack("<I", 9_999) + whole[-2:],
        "pickled": zipped({"data.npy": npy("'|O'", "(2,)", body=b"cos\nsystem\n(S'true'\ntR.")}),
        "a flipped byte": flipped(stored, stored.index(BYTES.tobytes()) + 50),
        "a flipped byte, deflated": flipped(whole, 120),
    }
    for name, kind in (("bzip2", zipfile.ZIP_BZIP2), ("LZMA", zipfile.ZIP_LZMA)):
        packed = zipped(data, kind)
        for at in (60, 90):
            bad[f"{name}, spoilt at {at}"] = flipped(packed, at, 0xFF)
        bad |= cuts(name, packed, (60, -30), ())
    for name, values in (
        *(("objects", None), ("negative", LABELS - 2), ("floats", LABELS.astype(float))),
        *(("times", LABELS.astype("M8[s]")), ("too few", LABELS[:3]), ("a row", LABELS[None])),
        *(
            ("a number", LABELS[0]),
            ("huge", LABELS.astype(np.uint64) + 2**63),
            ("none", LABELS[:0]),
        ),
    ):
        content = npy("'|O'", "(5,)", body=b"\x80\4N.") if values is None else saved(values)
        bad[f"labels, {name}"] = zipped(data | {"labels.npy": content})
    bad |= {f"inside, {name}": zipped({"data.npy": content}) for name, content in heads().items()}
    return bad | cuts("npz", whole, (0, 1, 2, 4, 30, 60, 200, -100, -22, -4, -1), ())


def flipped(content, at, bits=1):
    changed = bytearray(content)
    changed[at] ^= bits
    return bytes(changed)


def idx_files():
    good = idx(BYTES)
    sizes = [(2**32 - 1,) * n for n in (1, 2, 3, 4, 100, 255)]
    sizes += [(5, 4, 7), (5, 4, 5), (0, 4, 6), (5, 0, 6), (120,), (5, 24), (5, 4, 6, 1, 1), ()]
    bad = {
        f"sizes {str(size)[:40]}": struct.pack(">BBBB", 0, 0, 8, len(size))
        + struct.pack(f">{len(size)}I", *size)
        + BYTES.tobytes()
        for size in sizes
    }
    bad |= {f"type {code}": good[:2] + bytes([code]) + good[3:] for code in (0, 7, 10, 12, 14, 255)}
    bad |= {
        f"start {start!r}": start + good[2:] for start in (b"\1\0", b"\0\1", b"PK", b"\xff\xff")
    }
    bad |= {"more axes than sizes": good[:3] + b"\xff" + good[4:]}
    return bad | cuts("idx", good, (0, 1, 3, 4, 8, 15, 16, 17, -60, -1))


def gzipped_idx():
    good = gzip.compress(idx(BYTES), mtime=0)
    bad = {f"inside, {name}": gzip.compress(bad, mtime=0) for name, bad in idx_files().items()}
    zeros = bytes(10**7)
    return bad | {
        "not gzipped": idx(BYTES),
        "twice": gzip.compress(good),
        "and 10 MB": gzip.compress(idx(BYTES) + zeros, 1),
        "10 MB of zeros": gzip.compress(zeros, 1),
        "declares 4 GB of 10 kB": gzip.compress(
            struct.pack(">BBBBIII", 0, 0, 8, 3, 4096, 1024, 1024) + zeros, 1
        ),
        "another sum": flipped(good, len(good) - 8),
        "another length": flipped(good, len(good) - 1),
        "a spoilt block": flipped(good, 14, 0xFF),
        "another method": flipped(good, 2),
        "bzip2": bz2.compress(idx(BYTES)),
        "LZMA": lzma.compress(idx(BYTES)),
        "zlib": zlib.compress(idx(BYTES)),
        **{f"gz cut at {at}": good[:at] for at in (0, 1, 5, 10, 12, 20, 40, -20, -9, -8, -4, -1)},
        "gz and more": good + b"more",
        "gz and an empty member cut": good + gzip.compress(b"")[:8],
    }
