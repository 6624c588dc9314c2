"""Runs sessions one after the other in one process, as a notebook does; prints each one's page as JSON."""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import SequentialRunner, ThreadRunner

from celeba_gan.tracking.config import TrackingError

PROJECT = Path(__file__).parent
summaries: dict[str, Any] = {}
errors: dict[str, str] = {}
decisions: dict[str, str | None] = {}


def run(step: str, experiment: str, *names: str, env: str | None = None, **options: Any) -> None:
    from tiny_gan.settings import TRACKING

    params = {"experiment": experiment, **options.pop("params", {})}
    options.setdefault("runner", SequentialRunner())
    try:
        with KedroSession.create(PROJECT, env=env, runtime_params=params) as session:
            session.run(pipeline_names=list(names) or None, **options)
    except (ValueError, KeyboardInterrupt, TrackingError) as error:
        logging.getLogger(__name__).warning("%s: %r", step, error)
        errors[step] = str(error)
    summaries[step] = (page := TRACKING.page()) and asdict(page)
    decisions[step] = TRACKING.decision()


def status(step: str) -> str:
    from mlflow.tracking import MlflowClient

    found = summaries[step]
    return str(MlflowClient(found["tracking_uri"]).get_run(found["run_id"]).info.status)


def page(step: str) -> dict[str, Any]:
    """What a run's page shows but metrics, and when its file of dots was uploaded."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(summaries[step]["tracking_uri"])
    found = client.get_run(summaries[step]["run_id"])
    dots = Path(found.info.artifact_uri.removeprefix("file://")) / "data" / "dots.csv"
    return {
        "ended": [found.info.status, found.info.end_time],
        "tags": found.data.tags,
        "params": found.data.params,
        "images": sorted(file.path for file in client.list_artifacts(found.info.run_id, "images")),
        "dots": dots.stat().st_mtime_ns if dots.is_file() else None,
    }


bootstrap_project(PROJECT)
run("untracked", "untracked", env="untracked")
list(pipelines)
imported = "mlflow" in sys.modules

run("first", "demo", params={"train": {"notes": "long " * 2000}})
pages = [page("first")]
run("finished", "demo")
pages.append(page("finished"))
run("refused", "demo", params={"train": {"fault": "refuse", "learning_rate": 0.5}})
pages.append(page("refused"))
run("skipped", "demo", only_missing_outputs=True)
run("evaluated", "demo", "evaluate")
run("unlogged", "untracked", "evaluate", params={"evaluate": {"promote": True}})
run("failed", "broken", "train", params={"train": {"fault": "error"}})
failed_was = status("failed")
run("repaired", "broken", "train", params={"train": {"learning_rate": 0.1}})
run("promoted", "broken", "evaluate", params={"evaluate": {"promote": True, "model": "demo"}})
run("both", "fresh", "train", "evaluate", params={"evaluate": {"model": "demo"}})
run("exported", "exported", "export")
run("threads", "threads", runner=ThreadRunner())
run("interrupted", "notebook", "train", params={"train": {"fault": "interrupt"}})
interrupted_was = status("interrupted")
run("after", "notebook", "draw")
pages_of_interrupted = [page("interrupted")]
run("refused_after", "notebook", "train", params={"train": {"fault": "refuse"}})
pages_of_interrupted.append(page("interrupted"))
facts = {"decisions": decisions, "pages": pages, "pages_of_interrupted": pages_of_interrupted}
facts |= {"errors": errors, "mlflow_imported": imported, "failed_was": failed_was, "interrupted_was": interrupted_was}
print(json.dumps(facts | summaries))
