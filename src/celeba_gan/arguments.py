"""The front door's own words in the project's errors, which name parameters of `kedro run`."""

import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Final

_PHRASES: Final = {
    r"--params experiment=NAME,train\.init_from=\S+": "another folder= and the present one as init_from=",
    r"under the same name: --params train\.resume=false": "in the same folder: resume=False",
    r"name an experiment that has one with --params experiment=NAME": "name a folder that has one",
    r"--params experiment=NAME(?=$|\n)": "another folder=",
    r"another experiment name": "another folder=",
    r"Give train\.resume_from with --params: .*, and is ignored": "Leave it out: the newest snapshot is resumed",
    r"\brun the same command again\b": "make the same call again",
    r"\bthe same command\b": "the same call",
    r"kedro run --pipelines evaluate with the same --env and --params": "celeba_gan.evaluate with the same arguments",
    r"kedro run --pipelines \S+ with the same --env and --params": "celeba_gan.train with the same arguments",
    r"start at the project's folder": "start at the current folder",
    r"Evaluate it with the environment and --params dataset=NAME that": "Give as images= those that",
    r", with the --env, dataset.*? of its training": "",
    # Of sources: the front door recognises CelebA, and downloads nothing.
    r"`--params source\.path=DIR`; to download it add .*? use `--env folder`": "images=DIR",
    r"Is it CelebA\? Then use --env celeba\. ": "",
    r"Use --env folder": "Move CelebA's tables out of their folder",
    r"--env folder": "move CelebA's tables out of their folder",
    r", or, if the split is drawn \(there is no partition\), set a larger ingest\.valid_share": "",
    r"; or, to go on without them, raise ingest\.max_rejected_fraction: .* unreadable_images\.csv": "",
    # Of labels: those of the front door are subfolders, or what the setting `condition` names.
    r"preprocess\.condition_on = \['label'\]": 'labels="subfolders"',
    r"name attributes whose .* in preprocess\.condition_on \(.*?\), or choose": 'give labels="subfolders", or choose',
    r"Set a smaller preprocess\.min_class_images": "Add images, or leave labels out",
    r"preprocess\.min_class_images = (\d+) leaves": r"Their least count, \1, leaves",
    r"(?i)leave out such classes with --params preprocess\.min_class_images=1": "Remove their subfolders",
    r"begin again with the stage ingest, which names the columns that it cannot use": "call it again",
    r"begin again with the stage ingest": "call it again",
    r", try fewer processes with --params preprocess\.workers=\d+, or remove that": ", remove that",
}
"""What the project says, as patterns, and what the front door says instead; in this order."""

_PARAMETER: Final = re.compile(
    r"(?:--params )?(?<![\w/\\.'\"-])(train|evaluate|preprocess|source)((?:\.[a-z]\w*)+)(?:=([\w.+-]*\w))?"
)
_ARGUMENTS: Final = {
    "preprocess.size": "size",
    "preprocess.crop": "crop",
    "source.path": "images",
    "source.labels": "labels",
    "evaluate.images": "count",
}
_CONSTANTS: Final = {"true": "True", "false": "False", "null": "None"}


@contextmanager
def named_as_arguments() -> Iterator[None]:
    """Lets errors of this project through with the front door's names for what they name; the class stays the same."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("celeba_gan.") and error.args and isinstance(error.args[0], str):
            error.args = (as_arguments(error.args[0]), *error.args[1:])
        raise


def as_arguments(message: str) -> str:
    """A message with arguments of the front door in place of parameters of `kedro run`.

    `--params train.resume=false` becomes `resume=False`, `train.penalty.r1.weight=0` `penalty={"r1": {"weight": 0}}`.
    """
    for pattern, replacement in _PHRASES.items():
        message = re.sub(pattern, replacement, message)
    return _PARAMETER.sub(_argument, message)


def _argument(found: re.Match[str]) -> str:
    section, path, value = found[1], found[2][1:], found[3]
    known = _ARGUMENTS.get(f"{section}.{path}")
    if known is None and path.split(".")[0] not in _fields(section):
        return found[0]  # such as a file, train.zip
    names = [known] if known else path.split(".")
    if value is None:
        return ".".join(names)
    spelt = _spell(value)
    for name in reversed(names[1:]):
        spelt = f'{{"{name}": {spelt}}}'
    return f"{names[0]}={spelt}"


def _fields(section: str) -> Container[str]:
    """The settings of a section that the front door takes as they are."""
    from celeba_gan.evaluation.config import EvaluateSettings
    from celeba_gan.gan.settings import TrainSettings

    return {"train": TrainSettings.model_fields, "evaluate": EvaluateSettings.model_fields}.get(section, {})


def _spell(value: str) -> str:
    """A value as Python has it; placeholders such as FILE stay."""
    plain = value in _CONSTANTS or value.isupper() or re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value)
    return _CONSTANTS.get(value, value) if plain else f'"{value}"'
