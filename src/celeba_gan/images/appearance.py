"""The apparent type of a file, by its first bytes."""

import codecs


def appearance(head: bytes) -> str:
    """The apparent type of a file by its first few hundred bytes, for messages: a noun phrase such as "a web page".

    "something else" if nothing is recognised, as for plain text.
    """
    if not head.strip():
        return "an empty file"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return "an Excel workbook (export it as CSV)" if _IN_WORKBOOKS in head[:200] else name
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    start = head.decode("utf-16", errors="ignore").encode() if wide else head.removeprefix(codecs.BOM_UTF8)
    text = start.lstrip().lower()
    if not text:
        return "an empty file"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "a web page (a download page or a 'quota exceeded' message saved under this name)"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (a few lines that stand for a file that `git lfs pull` would fetch)"
    if text.startswith((b"{", b"[")):
        return "a JSON document (a server's error message, perhaps)"
    return "a binary file" if b"\0" in start else "something else"


_IN_WORKBOOKS = b"[Content_Types].xml"
_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a rar archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file (export it as CSV)"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"{\\rtf", "a formatted document (save it as plain text)"),
    (b"PAR1", "a Parquet table (export it as CSV)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
)
