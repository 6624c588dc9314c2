"""onnxruntime-web, which runs ONNX files in a browser: fetched once by npm, and kept."""

import base64
import hashlib
import json
import logging
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from celeba_gan.exporting.errors import ExportError
from celeba_gan.foundation.documents import parse_json
from celeba_gan.foundation.files import staged_folder
from celeba_gan.foundation.paths import shown

logger = logging.getLogger(__name__)

PACKAGE: Final = "onnxruntime-web"
VERSION: Final = "1.30.0"
SHA512: Final = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package's archive, in base64, as in a package-lock.json: whatever registry it comes from."""
SCRIPT: Final = "ort.wasm.bundle.min.mjs"
WASM: Final = "ort-wasm-simd-threaded.wasm"
LICENCE: Final = "LICENSE"
FILES: Final = (SCRIPT, WASM, LICENCE)
_SUMS: Final = "sha512.json"  # of these files as they were unpacked
_TIMEOUT: Final = 600  # seconds; the archive has 33 MB
_LEAVE_OUT: Final = "leave the page out with --params export.web=false"


class WebRuntime:
    """A folder with the files of one version of onnxruntime-web; it may be deleted, and is then fetched again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / VERSION

    def check(self) -> None:
        """Checks that the files are there, or can be fetched.

        Raises:
            ExportError: They are not there, and there is no npm.
        """
        if not self._is_there():
            _npm()

    def copy_to(self, target: Path) -> None:
        """Copies the files into a new folder; fetches them first if they are not there.

        Raises:
            ExportError: npm is missing or fails, or what it fetched is not the expected archive.
        """
        if not self._is_there():
            self._fetch()
        target.mkdir()
        for name in FILES:
            shutil.copyfile(self.folder / name, target / name)

    def _is_there(self) -> bool:
        """Whether the files are there, and those that were unpacked."""
        try:
            known = parse_json((self.folder / _SUMS).read_text(encoding="utf-8"))
            return all(known[name] == _digest(self.folder / name) for name in FILES)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _fetch(self) -> None:
        npm = _npm()
        logger.info("Fetching %s %s with npm into %s", PACKAGE, VERSION, shown(self.folder))
        with tempfile.TemporaryDirectory(prefix="celeba_gan-") as place:
            archive = _pack(npm, Path(place))
            if (found := _digest(archive)) != SHA512:
                raise ExportError(
                    f"npm fetched another {PACKAGE} {VERSION} than expected (sha512 {found}, expected {SHA512}). Check "
                    f"the registry of your npm configuration, or {_LEAVE_OUT}"
                )
            with staged_folder(self.folder) as staging, tarfile.open(archive) as packed:
                for name in (SCRIPT, WASM):
                    member = packed.extractfile(f"package/dist/{name}")
                    assert member is not None  # the archive is the expected one
                    (staging / name).write_bytes(member.read())
                licence = Path(__file__).parent / "templates" / "onnxruntime-web.txt"  # the archive has none
                shutil.copyfile(licence, staging / LICENCE)
                sums = {name: _digest(staging / name) for name in FILES}
                (staging / _SUMS).write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")


def _npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise ExportError(
            f"npm was not found, which fetches {PACKAGE} for the page that generates in a browser. Install Node.js, or "
            f"{_LEAVE_OUT}"
        )
    return npm


def _pack(npm: str, place: Path) -> Path:
    """Fetches the archive, as the user's own npm configuration says."""
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(place)]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_TIMEOUT)
        reason = next(iter(done.stderr.strip().splitlines()), f"exit status {done.returncode}")
    except subprocess.TimeoutExpired:
        done, reason = None, f"no answer after {_TIMEOUT} s"
    archives = list(place.glob("*.tgz"))
    if done is None or done.returncode or len(archives) != 1:
        raise ExportError(
            f"npm could not fetch {PACKAGE} {VERSION} ({reason}). Check that `npm pack {PACKAGE}@{VERSION}` works, or "
            f"{_LEAVE_OUT}"
        )
    return archives[0]


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return base64.b64encode(hashlib.file_digest(opened, "sha512").digest()).decode()
