from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DatasetError

from celeba_gan.datasets.reports import ChartDataset, CSVDataset, ParquetDataset

TABLE = pd.DataFrame({"image_id": ["a", "b"], "label": [1, 2]})
FIGURE = go.Figure(go.Bar(x=[1, 2], y=[3, 4]))
KINDS = [
    (ParquetDataset, "t.parquet", TABLE, pd.DataFrame, "to_parquet"),
    (CSVDataset, "t.csv", TABLE, pd.DataFrame, "to_csv"),
    (ChartDataset, "t.json", FIGURE, go.Figure, "write_json"),
]


@pytest.mark.parametrize(("kind", "name", "data", "writer", "method"), KINDS)
def test_a_save_that_breaks_off_leaves_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, name: str, data: Any, writer: Any, method: str
) -> None:
    dataset = kind(filepath=str(tmp_path / "sub" / name), save_args={"index": False} if name == "t.csv" else None)
    dataset.save(data)
    whole = (tmp_path / "sub" / name).read_bytes()

    def breaks_off(self: Any, *files: Any, **others: Any) -> None:
        file = files[0] if files else others["path_or_buf"]
        try:
            file.write(b"half of it")
        except TypeError:
            file.write("half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, method, breaks_off)
        with pytest.raises(DatasetError, match=rf"(?s){name}.*No space left") as caught:
            dataset.save(data)
    assert "partial" not in str(caught.value)  # people know the file by its own name
    assert (tmp_path / "sub" / name).read_bytes() == whole
    assert [path.name for path in (tmp_path / "sub").iterdir()] == [name]
    dataset.load()
