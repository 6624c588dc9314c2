"""The error that a wrong or missing source gives, and what a wrong file looks like."""


class SourceError(ValueError):
    """The images or annotations at hand are not what was asked for.

    Its message is complete: what is wrong, where, what is allowed, and what to do.
    """


def appearance(head: bytes) -> str:
    """Say what a file seems to be, for the message about a file that is not what its name says.

    Args:
        head: The first bytes of the file, a few hundred at least.

    Returns:
        A noun phrase such as "a web page"; "something else" when nothing is recognised.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not text:
        return "an empty file"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "a web page (a download page or a 'quota exceeded' message saved under this name)"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (a few lines that stand for a file that `git lfs pull` would fetch)"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    return "a binary file" if b"\0" in head else "something else"


_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a rar archive"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"%PDF", "a PDF document"),
)
