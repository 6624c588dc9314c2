"""Names and descriptions of runs and models, as people read them on MLflow's pages; descriptions are Markdown."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kedro.pipeline import Pipeline

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.foundation.flat import flatten
from celeba_gan.foundation.params import spell_param
from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.foundation.wording import counted, listed
from celeba_gan.gan.runs.cards import ModelCard

DESCRIPTION: Final = "mlflow.note.content"  # MLflow's tag

_TRAINED: Final = "Generator: "
_MEASURED: Final = "Measured on "
_COMMAND: Final = "To resume or repeat it: "
_MOST_NODES: Final = 2  # in a name

# Kedro's names of what selects a part of a pipeline, and the options that set it.
_SELECTIONS: Final = {
    "node_names": "--nodes",
    "from_nodes": "--from-nodes",
    "to_nodes": "--to-nodes",
    "from_inputs": "--from-inputs",
    "to_outputs": "--to-outputs",
    "tags": "--tags",
    "namespaces": "--namespaces",
}
_NOT_AGAIN: Final = ("train.resume", "train.resume_from")  # which would discard what the run has trained


def name_pipelines(run_params: Mapping[str, Any]) -> str:
    """The pipelines of a run; Kedro gives them in random order."""
    return ",".join(sorted(run_params.get("pipeline_names") or ["default"]))


def name_work(run_params: Mapping[str, Any], pipeline: Pipeline) -> str:
    """What a run does, in a few words: its pipelines, or its nodes where only a part of them is selected."""
    if not any(run_params.get(selection) for selection in _SELECTIONS):
        return name_pipelines(run_params)
    return listed([node.name for node in pipeline.nodes], _MOST_NODES, ",")


def resuming_command(run_params: Mapping[str, Any]) -> str:
    """The command that does what a run did, and resumes what it trained."""
    command = ["kedro", "run"]
    if environment := run_params.get("env"):
        command += ["--env", environment]
    if run_params.get("pipeline_names"):
        command += ["--pipelines", name_pipelines(run_params)]
    for selection, option in _SELECTIONS.items():
        if selected := run_params.get(selection):
            command += [option, ",".join(sorted(selected))]
    params = flatten(run_params.get("runtime_params") or {}, "")
    texts = [spell_param(name, value) for name, value in params.items() if name not in _NOT_AGAIN]
    if texts:
        command += ["--params", ",".join(texts)]
    return mask_secrets(shlex.join(command))


def describe_run(names: Mapping[str, str], run_params: Mapping[str, Any], pipeline: Pipeline) -> str:
    """What a run does, on which data, by which preset, and the command."""
    preset = run_params.get("env") or "local"
    of = [f"{name} `{names[name]}`" for name in ("experiment", "dataset") if name in names]
    what = ", ".join([f"`{name_work(run_params, pipeline)}`", *of, f"preset `{preset}`"])
    return f"{what}\n\n{_COMMAND}`{resuming_command(run_params)}`"


def is_generated(description: str) -> bool:
    """Whether a description is of this module, or empty; else a person wrote it, and it is kept."""
    return not description or description.split("\n\n")[-1].startswith(_COMMAND)


def with_results(description: str, results: Iterable[str]) -> str:
    """A description with these results in the place of earlier ones of their kinds; a person's own is not changed."""
    if not description or not is_generated(description):
        return description
    what, *before, command = description.split("\n\n")
    latest = {result.partition(" ")[0]: result for result in [*before, *results]}  # by the first word
    return "\n\n".join([what, *(latest[kind] for kind in sorted(latest)), command])


def describe_training(card: ModelCard) -> str:
    """What was trained, and how far."""
    state = "finished" if card.finished else "not finished"
    size = f"{card.size}x{card.size}"
    trained = f"{card.network.name}, {size} pixels, objective {card.objective}"
    return f"{_TRAINED}{trained}; trained on {counted(card.images, 'image')} ({state})."


def describe_evaluation(evaluation: Evaluation) -> str:
    """The numbers of a run's summary."""
    from celeba_gan.evaluation.metrics.registry import NUMBERS  # imports torch
    from celeba_gan.reporting.evaluation.glossary import first_extractor

    found = []
    for number in NUMBERS.values():
        name = first_extractor(evaluation, number.name) if number.terminal else None
        if number.terminal is not None and name is not None:
            floor = f" (real images {evaluation.floor[name]:.3g})" if name in evaluation.floor else ""
            found.append(f"{number.terminal[0]} {evaluation.metrics[name]:.3g}{floor}")
    return f"{_MEASURED}the {evaluation.protocol.split} split: {', '.join(found) or 'no number'}."
