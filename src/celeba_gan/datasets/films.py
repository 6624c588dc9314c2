"""Films as GIF, WebP and MP4."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from kedro.io import DatasetError
from PIL import Image

from celeba_gan.datasets.file_dataset import FileDataset
from celeba_gan.datasets.previews import ImagePreview, image_preview, once_saved, picture_preview
from celeba_gan.foundation.files import staged
from celeba_gan.foundation.wording import install_command
from celeba_gan.reporting.films import Film, film_files

Show = Callable[[int], None]
"""Called with the number of frames that are done."""

_PALETTE_FRAMES: Final = 16


class FilmError(RuntimeError):
    """A film cannot be written; the message says what to do."""


class FilmDataset(FileDataset[Film, list[Image.Image]]):
    """A film in files of one name and several formats, which the film names. GIF and WebP play without end."""

    def save(self, data: Film) -> None:
        """Writes the film in each of its formats, and removes it in others.

        Raises:
            FilmError: The package that writes MP4 is not installed.
        """
        from celeba_gan.reporting.bars import StepsProgress

        with StepsProgress() as bar:
            for suffix in (f".{name}" for name in data.formats):
                file = self._filepath.with_suffix(suffix)

                def show(done: int, doing: str = f"Writing {file.name}") -> None:
                    bar.show(doing, done, len(data.frames))

                show(0)
                with staged(file) as staging:
                    _WRITERS[suffix](data, staging, show)
                show(len(data.frames))
        for file in film_files(self._filepath):
            if file.suffix.removeprefix(".") not in data.formats:
                file.unlink()

    def load(self) -> list[Image.Image]:
        """Reads the frames."""
        from PIL import ImageSequence

        path = self._file()
        if path.suffix == ".mp4":
            with _av().open(str(path)) as container:
                return [frame.to_image() for frame in container.decode(video=0)]
        with Image.open(path, formats=["GIF", "WEBP"]) as image:
            return [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]

    @once_saved
    def preview(self) -> ImagePreview:
        """The film; of an MP4, which kedro-viz does not play, its first frame."""
        path = self._file()
        return picture_preview(self.load()[0]) if path.suffix == ".mp4" else image_preview(path)

    def _file(self) -> Path:
        if not (files := film_files(self._filepath)):
            message = f"There is no film {self._filepath}, neither as GIF nor as WebP or MP4"
            raise DatasetError(message) from FileNotFoundError(self._filepath)
        return files[0]

    def _exists(self) -> bool:
        return bool(film_files(self._filepath))


def _write_gif(film: Film, path: Path, show: Show) -> None:
    """With one palette for all frames, so that colours do not flicker."""
    palette = _palette(film)
    frames = []
    for frame in film.frames:
        frames.append(frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
        show(len(frames))
    frames[0].save(
        path, "GIF", save_all=True, append_images=frames[1:], duration=_durations(film), loop=0, optimize=False
    )


def _palette(film: Film) -> Image.Image:
    """256 colours of up to 16 frames, the last among them."""
    step = -(-len(film.frames) // _PALETTE_FRAMES)
    chosen = film.frames[::-1][::step]
    width, height = chosen[0].size
    together = Image.new("RGB", (width, height * len(chosen)))
    for number, frame in enumerate(chosen):
        together.paste(frame, (0, number * height))
    return together.quantize(256)


def _write_webp(film: Film, path: Path, show: Show) -> None:
    """In one call, so that the bar stays at 0 until the file is complete."""
    first, *others = film.frames
    first.save(
        path, "WEBP", save_all=True, append_images=others, duration=_durations(film), loop=0, quality=85, method=4
    )


def _write_mp4(film: Film, path: Path, show: Show) -> None:
    """H.264, which every browser plays; its colours are halved in resolution, so that sides must be even."""
    from fractions import Fraction

    first = film.frames[0]
    with _av().open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=Fraction(1000, film.frame_ms))
        stream.width, stream.height = first.width // 2 * 2, first.height // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18"}
        repeated = max(1, round(film.last_frame_ms / film.frame_ms))  # frames of an MP4 have one duration
        for number, picture in enumerate([*film.frames, *[film.frames[-1]] * (repeated - 1)]):
            frame = _av().VideoFrame.from_image(picture.crop((0, 0, stream.width, stream.height)))
            container.mux(stream.encode(frame))
            show(min(number + 1, len(film.frames)))
        container.mux(stream.encode())


def _durations(film: Film) -> Sequence[int]:
    return [film.frame_ms] * (len(film.frames) - 1) + [film.last_frame_ms]


def check_mp4() -> None:
    """Raises FilmError where the package that writes MP4 is not installed."""
    if find_spec("av") is None:
        raise FilmError(
            f"MP4 films need the package av. Install it with {install_command('film')}, or give "
            "generate.film.formats=gif"
        )


def _av() -> Any:
    check_mp4()
    import av

    return av


_WRITERS: Final = {".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}
