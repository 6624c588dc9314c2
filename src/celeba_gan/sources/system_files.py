"""Files and folders that operating systems, storage devices and cloud clients create beside photographs."""

from __future__ import annotations

import re
from typing import Final

_BIN, _THUMBNAILS, _INTERNAL = "recycle bin", "thumbnails", "internal"
_RECOVERED, _VERSIONS = "recovered or deleted files", "earlier versions"

# Windows 95's RECYCLED is missing: it is a plausible label of photographs.
_NAMES: Final = {
    # macOS
    "__macosx": "metadata",
    "icon\r": "folder icon",
    "network trash folder": _BIN,
    "temporary items": _INTERNAL,
    "thevolumesettingsfolder": _INTERNAL,
    # Windows
    "$recycle.bin": _BIN,
    "recycler": _BIN,
    "system volume information": _INTERNAL,
    "dfsrprivate": _INTERNAL,
    "$windows.~bt": _INTERNAL,
    "_vti_cnf": "metadata",  # FrontPage: a file for every photograph, of the same name
    "desktop.ini": _INTERNAL,
    "thumbs.db": _THUMBNAILS,
    "ehthumbs.db": _THUMBNAILS,
    "ehthumbs_vista.db": _THUMBNAILS,
    # Linux
    "lost+found": _RECOVERED,
    # Android
    "lost.dir": _RECOVERED,
    # Synology
    "@eadir": _THUMBNAILS,
    "#recycle": _BIN,
    "#synorecycle": _BIN,
    "@sharebin": _BIN,
    "#snapshot": _VERSIONS,
    "@tmp": _INTERNAL,
    "@synoresource": _INTERNAL,
    # QNAP; others in its volumes are hidden
    "@recycle": _BIN,
    "@recently-snapshot": _VERSIONS,
    "@transcode": _INTERNAL,
    # NetApp
    "~snapshot": _VERSIONS,
    # OneDrive, Nextcloud and GoodSync
    "onedrivetemp": _INTERNAL,
    "files_trashbin": _BIN,
    "files_versions": _VERSIONS,
    "_gsdata_": _INTERNAL,
}
_NUMBERED: Final = (
    (re.compile(r"found\.[0-9]{3}"), _RECOVERED),  # Windows
    (re.compile(r"network recycle bin [1-9]"), _BIN),  # QNAP
)


def system_file(name: str) -> str | None:
    """What a system uses a file or folder of this name for, such as "thumbnails"; None for any other name.

    Everything that begins with a dot is "hidden": .DS_Store, ._000001.jpg, .Trashes, .thumbnails, .@__thumb.
    """
    if name.startswith("."):
        return "hidden"
    lower = name.lower()
    if use := _NAMES.get(lower):
        return use
    if not lower[-1:].isdigit():  # of a photograph's name: a match of each takes a tenth of listing a zip
        return None
    return next((use for pattern, use in _NUMBERED if pattern.fullmatch(lower)), None)
