"""What the metrics are called, what they mean and which way is better."""

from dataclasses import dataclass
from typing import Final, Literal

Group = Literal["quality", "variety", "originality", "judge", "other"]
Kind = Literal["distance", "share", "ratio", "number"]

GROUPS: Final[dict[Group, tuple[str, str]]] = {
    "quality": ("Quality", "Do samples look like real images?"),
    "variety": ("Variety", "Do samples show all that real images show?"),
    "originality": ("Originality", "Are samples new, or copies of training images and of each other?"),
    "judge": ("The discriminator’s view", "Can a network tell samples from real images?"),
    "other": ("Further numbers", "Numbers that this page has no words for."),
}


@dataclass(frozen=True)
class Metric:
    """A metric in words."""

    label: str
    group: Group
    better: str
    """Which way is better, in a word or two."""
    meaning: str
    """One sentence."""
    kind: Kind = "number"
    """A distance starts at 0, a share is shown in percent and lies between 0 and 1, a ratio is looked at around 1."""
    ends: tuple[float, float] | None = None
    """The ends of its scale, where it has some of its own."""
    by_definition: float | None = None
    """What unseen real images score, where that needs no measuring."""
    minor: bool = False
    """Whether it only completes another one."""


_METRICS: Final = {
    "frechet": Metric("Fréchet distance", "quality", "less", "Between Gaussians fitted to the features of samples and "
        "of reals; FID, where the features are Inception’s.", "distance"),
    "frechet_infinity": Metric("Fréchet distance, extrapolated", "quality", "less", "What is left of it with endlessly "
        "many images: few images make the distance larger.", "distance"),
    "kernel_distance": Metric("Kernel distance × 1000", "quality", "less", "Unbiased squared distance between the two "
        "sets of features (KID); may be slightly below 0 for equal ones.", "distance"),
    "precision": Metric("Precision", "quality", "more", "Samples that lie among real images.", "share"),
    "density": Metric("Density", "quality", "near 1", "How densely real images surround a sample; 1 for samples like "
        "reals. It also rises where samples keep to what is common.", "ratio"),
    "inception_score": Metric("Inception score", "quality", "more", "Rewards samples that Inception is sure of and "
        "that differ; it never looks at real images."),
    "swd": Metric("Sliced Wasserstein distance", "quality", "less", "Between small patches of samples and of reals, on "
        "average over the scales; needs no features.", "distance"),
    "swd_absolute": Metric("Sliced Wasserstein distance, absolute", "quality", "less", "The same, but it does not "
        "forgive another mean colour or contrast.", "distance"),
    "recall": Metric("Recall", "variety", "more", "Real images that lie among samples.", "share"),
    "coverage": Metric("Coverage", "variety", "more", "Real images with a sample near by.", "share"),
    "ms_ssim": Metric("MS-SSIM", "variety", "as reals", "How alike two samples are, on average over pairs: 1 for "
        "equal ones. Above the reals’: too little variety.", "number", (0, 1)),
    "memorised": Metric("Memorised", "originality", "at most 1 %", "Samples nearer to a training image than 99 of 100 "
        "unseen images are; chance alone gives 1 %.", "share", by_definition=0.01),
    "distance_ratio": Metric("Distance to training images", "originality", "near 1", "Median distance of samples to "
        "their nearest training image, over that of unseen images; below 1: too near.", "ratio",
        by_definition=1),
    "repeated": Metric("Repeated", "originality", "at most 1 %", "Samples nearer to another sample than 99 of 100 real "
        "images are to another; chance alone gives 1 %.", "share", by_definition=0.01),
    "c2st_accuracy": Metric("Accuracy of a fresh judge", "judge", "less", "How often a network trained on unseen "
        "images and fresh samples tells the two apart; 50 % is guessing.", "share", (0.5, 1), 0.5),
    "c2st_auc": Metric("AUC of a fresh judge", "judge", "less", "How often it gives a real image more than a sample; "
        "0.5 is guessing.", "number", (0.5, 1), 0.5),
    "c2st_age": Metric("AGE of a fresh judge", "judge", "more", "Its average generalisation error: 0.5 where it "
        "guesses, 0 where it is always right.", "number", (0, 0.5), 0.5),
    "c2st_age_mean_square": Metric("AGE of a fresh judge, mean of squares", "judge", "more", "Another reading of the "
        "same formula.", "number", (0, 0.5), minor=True),
    "c2st_prob_real": Metric("Its probability for reals", "judge", "–", "What the fresh judge gives real images, "
        "on average.", "number", (0, 1), minor=True),
    "c2st_prob_fake": Metric("Its probability for samples", "judge", "–", "What the fresh judge gives samples, on "
        "average.", "number", (0, 1), minor=True),
    "age": Metric("AGE", "judge", "–", "Average generalisation error by the training’s own discriminator: small where "
        "it wins, so it ranks no generators.", "number", (0, 0.5)),
    "age_mean_square": Metric("AGE, mean of squares", "judge", "–", "Another reading of the same formula.",
        "number", (0, 0.5), minor=True),
    "age_raw": Metric("AGE, not centred", "judge", "–", "With scores as they are, whose zero may mean nothing.",
        "number", minor=True),
    "prob_real": Metric("Probability for reals", "judge", "–", "What the training’s discriminator gives real images, "
        "on average.", "number", (0, 1), minor=True),
    "prob_fake": Metric("Probability for samples", "judge", "–", "What it gives samples, on average.",
        "number", (0, 1), minor=True),
    "score_real": Metric("Score of reals", "judge", "–", "Its mean score, before it becomes a probability.",
        minor=True),
    "score_fake": Metric("Score of samples", "judge", "–", "Its mean score, before it becomes a probability.",
        minor=True),
}  # fmt: skip
_OF_FEATURES: Final = (
    "frechet", "frechet_infinity", "kernel_distance", "precision", "density", "inception_score", "recall", "coverage",
    "memorised", "distance_ratio", "repeated",
)  # fmt: skip
_SETS: Final = {
    "valid": "on the valid split",
    "train": "on what it learnt from",
    "choose": "on what chose its best epoch",
}
_EXTRACTORS: Final = {"attributes": "the attribute classifier", "inception": "Inception"}


@dataclass(frozen=True)
class Name:
    """A metric's name, taken apart."""

    base: str
    """The name without its end, a key of the glossary; the whole name where the glossary does not have it."""
    features: str | None = None
    """Of which extractor."""
    detail: str | None = None
    """Where else it was measured: a scale, a split."""


def read_name(name: str) -> Name:
    """Takes `frechet_attributes`, `swd_32` or `age_valid` apart; the longest known beginning counts."""
    for base in sorted(_METRICS, key=len, reverse=True):
        if name == base:
            return Name(base)
        if name.startswith(f"{base}_"):
            end = name.removeprefix(f"{base}_")
            if base in _OF_FEATURES:
                return Name(base, features=end)
            if base == "swd" and end.isdigit():
                return Name(base, detail=f"at {end} × {end} pixels")
            if end in _SETS:
                return Name(base, detail=_SETS[end])
    return Name(name)


def describe(name: str) -> Metric:
    """The words for a metric; an unknown one is a number by its own name."""
    return _METRICS.get(read_name(name).base) or Metric(name.replace("_", " "), "other", "–", "")


def is_minor(name: str) -> bool:
    """Whether a metric only completes another one: a scale of it, another split, another reading."""
    return describe(name).minor or read_name(name).detail is not None


def order(name: str) -> tuple[int, str, int]:
    """A key to sort names in the glossary's order, and a metric with different features side by side."""
    found = read_name(name)
    bases = list(_METRICS)
    place = bases.index(found.base) if found.base in bases else len(bases)
    return place, found.features or "", int("".join(filter(str.isdigit, found.detail or "")) or 0)


def name_extractor(features: str) -> str:
    """An extractor in words."""
    return _EXTRACTORS.get(features, f"“{features}”")
