"""The logged generator as MLflow loads it: this file is copied into the model and run by `mlflow.pyfunc.load_model`.

It needs torch, numpy, safetensors, pydantic and Pillow, and the copy of this project's code in the model, under a name
of its own. MLflow's `code_paths` would put that copy before an installed celeba_gan and hide its other packages.
"""

import inspect
import json
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

logger = logging.getLogger(__name__)

_SERVER: Final = "mlflow.pyfunc.scoring_server"
_JSON: Final = "application/json"


class GeneratorModel(PythonModel):  # type: ignore[misc]  # mlflow is not typed
    """Rows of seeds, or of latents, to rows of pictures.

    Attributes:
        generator: The generator itself: `generator.images(latents)` gives arrays.
    """

    def load_context(self, context: Any) -> None:
        """Rebuilds the generator from its weights and card."""
        folder = Path(context.artifacts["python"])
        package = next(folder.glob("celeba_gan_*")).name
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        trained, run, self._rows, service = (
            import_module(f"{package}.{name}")
            for name in ("gan.sampling.trained", "gan.runs.run", "serving.rows", "serving.service")
        )
        self.generator = trained.TrainedGenerator(run.read_exported(Path(context.artifacts["weights"])).generator)
        self._service = service.PictureService(self.generator)
        if f"{_SERVER}.app" in sys.modules:  # which is loading its only model
            self._answer_requests(sys.modules[_SERVER])

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,  # this very annotation is known to MLflow
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Draws the rows' pictures.

        Args:
            context: MLflow's; not used.
            model_input: Columns `seed` and `number`, or `latents` (lists of numbers); `truncation`, `labels`, `format`.
                Each is optional.
            params: `truncation`, `labels` and `format` of the rows that do not have their own.

        Returns:
            A row for each row, in order: the picture as `image`, a file in base64, and what it was made of.

        Raises:
            MlflowException: A value is not allowed (INVALID_PARAMETER_VALUE).
        """
        if not len(model_input.columns):  # MLflow removes those that it does not know
            raise MlflowException.invalid_parameter_value(
                f"The input has none of the columns {', '.join(self._rows.COLUMNS)}. Give latents as "
                "pandas.DataFrame({'latents': list(latents)}). For arrays in place of files, call "
                "unwrap_python_model().generator.images(latents)"
            )
        values = model_input.astype(object).where(
            model_input.notna(), None
        )  # NaN is how pandas writes a missing number
        try:
            answers = self._service.answer(values.to_dict("records"), params or {})
        except self._rows.RequestError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return pd.DataFrame(answers, dtype=object)  # object: None in a column of whole numbers stays None

    def _answer_requests(self, server: Any) -> None:
        """Has this process, which is an MLflow server, read and refuse requests as this model does.

        The server itself rounds a seed of 1.5, ignores a column that it does not know, and answers a request that it
        cannot parse with status 500, or with a stack trace. It calls `invocations` for every request.
        """
        known = ["data", "content_type", "model", "input_schema"]
        if [*inspect.signature(server.invocations).parameters] != known:
            logger.warning("This version of MLflow answers requests in another way: it, not the model, reads them")
            return
        self._response = server.InvocationsResponse
        server.invocations = self._answer

    def _answer(self, data: bytes, content_type: str | None, model: Any, input_schema: Any) -> Any:
        """Answers a request to the server, in a thread of its own."""
        kind, *options = [part.strip().lower() for part in (content_type or "").split(";")]
        if kind != _JSON or any(option and option != "charset=utf-8" for option in options):
            return self._refuse(415, f"The content type is {(content_type or 'missing')[:80]}; give {_JSON} in UTF-8")
        if len(data) > (most := self._service.limits.bytes):
            return self._refuse(413, f"The request has {len(data)} bytes; give at most {most}")
        try:
            answers = self._service.answer(*self._rows.read_body(data))
        except self._rows.RequestError as error:
            return self._refuse(400, str(error))
        except Exception:
            logger.exception("A request could not be answered")
            return self._refuse(500, "The server could not draw this; its log has the reason")
        return self._response(json.dumps({"predictions": answers}), 200, _JSON)

    def _refuse(self, status: int, reason: str) -> Any:
        codes = {400: "INVALID_PARAMETER_VALUE", 500: "INTERNAL_ERROR"}
        content = {"error_code": codes.get(status, "BAD_REQUEST"), "message": reason}
        return self._response(json.dumps(content), status, _JSON)


set_model(GeneratorModel())
