"""The command `kedro run` of this project: Kedro's own, but for how it reads --params."""

import copy
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from celeba_gan.foundation.params import ParamsError, read_params


def _read(context: click.Context, option: click.Parameter, typed: Any) -> Any:
    from kedro.framework.project import pipelines
    from kedro.validation import TypeExtractor

    if not isinstance(typed, str):  # from --config, or from Python
        return typed
    try:
        return read_params(typed, TypeExtractor(dict(pipelines)).extract_types_from_pipelines() if typed else {})
    except ParamsError as error:
        context.fail(str(error))


@click.group(name="celeba_gan")
def cli() -> None:
    """Commands of this project."""


run = copy.copy(kedro_run)
run.params = [copy.copy(option) for option in kedro_run.params]
next(option for option in run.params if option.name == "params").callback = _read
cli.add_command(run)
