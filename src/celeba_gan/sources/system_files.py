"""Files and folders that operating systems, storage devices and cloud clients create beside photographs."""

from __future__ import annotations

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
    "desktop.ini": _INTERNAL,
    "thumbs.db": _THUMBNAILS,
    "ehthumbs.db": _THUMBNAILS,
    "ehthumbs_vista.db": _THUMBNAILS,
    **{f"found.{number:03d}": _RECOVERED for number in range(1000)},
    # Linux
    "lost+found": _RECOVERED,
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
    **{f"network recycle bin {number}": _BIN for number in range(1, 10)},
    # NetApp
    "~snapshot": _VERSIONS,
    # OneDrive and Nextcloud
    "onedrivetemp": _INTERNAL,
    "files_trashbin": _BIN,
    "files_versions": _VERSIONS,
}


def system_file(name: str) -> str | None:
    """What a system uses a file or folder of this name for, such as "thumbnails"; None for any other name.

    Everything that begins with a dot is "hidden": .DS_Store, ._000001.jpg, .Trashes, .thumbnails, .@__thumb.
    """
    return "hidden" if name.startswith(".") else _NAMES.get(name.lower())
