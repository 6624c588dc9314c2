"""A run behaves the same from every folder of the project."""

import os
from collections.abc import Generator
from pathlib import Path

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from pluggy import Result


class ProjectFolder:
    """Makes relative paths in parameters start at the project's folder, as those of the catalog do.

    Kedro finds the project from its sub-folders, too, but reads `conf/logging.yml` only in the project's folder.
    """

    def __init__(self) -> None:
        self._project = Path.cwd()
        self._before: Path | None = None

    @hook_impl(hookwrapper=True)  # before all other hooks: configuring prints long tracebacks from then on
    def after_context_created(self, context: KedroContext) -> Generator[None, None, None]:
        """Configures logging, unless the current folder or KEDRO_LOGGING_CONFIG has decided already."""
        import yaml
        from kedro.framework.project import LOGGING

        self._project = Path(context.project_path)
        file = self._project / "conf" / "logging.yml"
        decided = "KEDRO_LOGGING_CONFIG" in os.environ or Path.cwd() == self._project
        if not decided and file.is_file():
            LOGGING.configure(yaml.safe_load(file.read_text(encoding="utf-8")))
        yield

    @hook_impl(hookwrapper=True)  # before and after all other hooks
    def before_pipeline_run(self) -> Generator[None, Result[None], None]:
        """Makes the project's folder the current one; back to the former one if another hook refuses the run."""
        self._before = Path.cwd()
        os.chdir(self._project)
        outcome = yield
        if outcome.excinfo is not None:
            self._leave()

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Goes back to the former folder."""
        self._leave()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Goes back to the former folder."""
        self._leave()

    def _leave(self) -> None:
        if self._before is not None:
            os.chdir(self._before)
            self._before = None
