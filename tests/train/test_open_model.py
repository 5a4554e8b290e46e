"""Model files that cannot be opened: one sentence each."""

from __future__ import annotations

import pytest

from coke_edge.errors import BackendError, BundleError, CokeError
from coke_edge.train.open_model import open_model


def test_a_model_file_and_a_backend_that_do_not_fit(tmp_path):
    with pytest.raises(BackendError, match="which only torch runs"):
        open_model(str(tmp_path), "onnxruntime")
    with pytest.raises(BackendError, match="which torch does not run"):
        open_model("person.coke", "torch")
    with pytest.raises(BackendError, match="export it with `--precision int8` first"):
        open_model(str(tmp_path), precision="int8")


@pytest.mark.parametrize("name", ["gone.safetensors", "gone.coke", "run"])
def test_a_missing_model_is_one_sentence(tmp_path, name):
    (tmp_path / "run").mkdir()
    with pytest.raises(BundleError) as caught:
        open_model(str(tmp_path / name))
    assert isinstance(caught.value, CokeError)
    assert "\n" not in str(caught.value)


def test_demo_is_the_bundle_in_the_package_even_beside_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert open_model("demo").spec.keypoints.names
    with pytest.raises(BundleError):
        open_model("./demo")
