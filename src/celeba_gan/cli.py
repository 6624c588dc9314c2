"""The command `kedro run` of this project: Kedro's own, but for how it reads --params and prints its first errors."""

import copy
import signal
from importlib.util import find_spec
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.utils import load_obj
from yaml import YAMLError

from celeba_gan.foundation.params import ParamsError, read_params
from celeba_gan.foundation.wording import install_command
from celeba_gan.hooks.errors import shorten_errors
from celeba_gan.hooks.ranks import FOLLOWING_RUNNER, speak_of_errors_only
from celeba_gan.hooks.short_log import shorten_log
from celeba_gan.ranks.group import current
from celeba_gan.ranks.launched import launched


def _read(context: click.Context, option: click.Parameter, typed: Any) -> Any:
    from kedro.framework.project import pipelines
    from kedro.validation import TypeExtractor

    if not isinstance(typed, str):  # from --config, or from Python
        return typed
    try:
        return read_params(typed, TypeExtractor(dict(pipelines)).extract_types_from_pipelines() if typed else {})
    except ParamsError as error:
        context.fail(str(error))


def _read_config(context: click.Context, option: click.Parameter, typed: Any) -> Any:
    form = "It needs the options under the key run, as in `run: {env: celeba}`"
    try:
        return _read_config_as_kedro(context, option, typed)  # type: ignore[misc]  # the option has one
    except YAMLError as error:
        context.fail(f"{typed} in --config cannot be read: {error}. {form}")
    except (KeyError, TypeError, AttributeError):
        context.fail(f"{typed} in --config has no options of kedro run. {form}")


def _run(**options: Any) -> Any:
    shorten_errors()
    shorten_log()
    if options["is_async"] or options["runner_params"].get("is_async"):
        raise click.UsageError(
            "--async does not work here: packing, training and sampling save while they compute, which Kedro cannot "
            "do asynchronously. Leave it out"
        )
    try:
        load_obj(options["runner"] or "SequentialRunner", "kedro.runner")
    except (AttributeError, ImportError, ValueError) as error:
        raise click.UsageError(
            f"There is no runner {options['runner']!r}. Kedro has SequentialRunner, ThreadRunner and ParallelRunner; "
            "for another, give the full name of its class"
        ) from error
    if launched().several and options["runner"] not in (None, "SequentialRunner"):
        raise click.UsageError(f"--runner {options['runner']} does not work under torchrun. Leave it out")
    if not launched().leads:
        options["runner"] = FOLLOWING_RUNNER
        speak_of_errors_only()
    try:
        return kedro_run.callback(**options)  # type: ignore[misc]  # a command has one
    except (KeyboardInterrupt, SystemExit) as error:
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else _signal(error.code)
        if number:
            current().tell_end(f"stopped by {signal.Signals(number).name}", wait=False)
            raise SystemExit(128 + number) from None  # of a KeyboardInterrupt click would print "Aborted!"
        raise


def _signal(status: object) -> int:
    """The number of the signal that ended a process with this exit status; 0: none did."""
    number = status - 128 if isinstance(status, int) else 0
    return number if number in {int(one) for one in signal.Signals} else 0


class _Run(click.Command):
    """Refuses an option that is given twice, of which click would drop all but the last."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the command line."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in given:
            if not option.multiple and given.count(option) > 1:
                name = max(option.opts, key=len)
                way = "give all in one, with commas between them" if option.name == "params" else "give it once"
                raise click.UsageError(f"{name} is given {given.count(option)} times; {way}", ctx)
        return super().parse_args(ctx, args)


@click.group(name="celeba_gan")
def cli() -> None:
    """Commands of this project."""


run = _Run("run", callback=_run, params=[copy.copy(option) for option in kedro_run.params], help=kedro_run.help)
_options = {option.name: option for option in run.params}
_options["params"].callback = _read
_read_config_as_kedro, _options["config"].callback = _options["config"].callback, _read_config
cli.add_command(run)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1)
def viz(arguments: tuple[str, ...]) -> None:
    """Shows the pipeline in the browser; needs the extra viz."""
    raise click.ClickException(f"kedro viz needs the package kedro-viz. Install it: {install_command('viz')}")


if find_spec("kedro_viz") is None:  # it brings the command itself
    cli.add_command(viz)
