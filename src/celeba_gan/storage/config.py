"""Settings of packed images that lie elsewhere."""

from typing import Final

from pydantic import Field

from celeba_gan.foundation.settings import Settings

PACKED_FOLDER: Final = "data/05_model_input"


class StorageSettings(Settings):
    """How packed images of a bucket are read; those on a disk need none of it."""

    cache: str = Field(f"{PACKED_FOLDER}/.cache", min_length=1, description="local folder for copies of whole shards")
    cache_gb: float = Field(20.0, ge=0, description="size of that folder in 10⁹ bytes, at most; 0: copy nothing")
    read_ahead: int = Field(8, ge=0, le=1024, description="training batches that are fetched before they are needed")
    patience_s: float = Field(300.0, ge=0, description="seconds for which a broken connection is tried again")

    @property
    def cache_bytes(self) -> int:
        """The size of the cache in bytes."""
        return int(self.cache_gb * 1e9)
