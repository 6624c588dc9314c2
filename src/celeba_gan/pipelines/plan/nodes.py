"""The node of the plan."""

from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import PackedImages


def print_plan(
    settings: TrainSettings,
    preprocess: PreprocessSettings,
    packed_images_previous: PackedImages | UnfinishedPacking | None,
    training_run_previous: Snapshot | None,
) -> None:
    """Prints the networks, the schedule, the memory and the time of the training that these settings describe."""
    import psutil  # type: ignore[import-untyped]

    from celeba_gan.gan.training.plan import plan
    from celeba_gan.reporting.training.plan import count_labels, print_page

    packed = packed_images_previous if isinstance(packed_images_previous, PackedImages) else None
    if packed is not None and packed.size != preprocess.size:
        packed = None  # preprocess will replace them
    resumed = training_run_previous.card if training_run_previous and settings.resume else None
    labels = count_labels(settings.condition, preprocess.condition_on, resumed)
    free = psutil.virtual_memory().available
    print_page(plan(settings, preprocess.size, images=packed, resumed=resumed, classes=labels.count, free=free), labels)
