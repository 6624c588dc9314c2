"""Where the networks of every experiment lie."""

from dataclasses import dataclass
from pathlib import Path

from celeba_gan.gan.runs.checkpoint import CheckpointError


@dataclass(frozen=True)
class Experiments:
    """A folder of experiments, each a folder with its networks and its training state."""

    folder: Path

    def find(self, source: str) -> Path:
        """An experiment by its name, or any other file or folder.

        Raises:
            CheckpointError: There is nothing of this name.
        """
        places = (self.folder / source, Path(source).expanduser())
        found = next((place for place in places if place.exists()), None)
        if found is None:
            files = [*self.folder.glob("*/generator.safetensors"), *self.folder.glob("*/training_state")]
            names = sorted({file.parent.name for file in files})
            raise CheckpointError(
                f"there is no experiment, file or folder {source!r}. "
                f"Experiments in {self.folder}: {', '.join(names[:20]) or 'none'}{', ...' if names[20:] else ''}"
            )
        return found
