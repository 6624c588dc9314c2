"""Signals that end the process, during the whole run."""

from kedro.framework.hooks import hook_impl

from celeba_gan.gan.runtime.signals import SignalHandlers


class Signals:
    """Lets the run end by an exception, so that MLflow's run, locks and temporary files are closed.

    In the main thread, also where ThreadRunner trains in another one.
    """

    def __init__(self) -> None:
        self._handlers = SignalHandlers()

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Catches them."""
        self._handlers.__exit__(None, None, None)  # an interrupted run of this process, in a notebook
        self._handlers.__enter__()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Leaves them as they were."""
        self._handlers.__exit__(None, None, None)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Leaves them as they were."""
        self._handlers.__exit__(None, None, None)
