"""doctor: what it recognizes and what it says to do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cllab.cli import doctor
from tests.cli.conftest import Cllab

NMS = {"error": "RuntimeError: operator torchvision::nms does not exist"}
FINE = {
    "torch": {"version": "2.15.0+cpu", "cuda": None, "devices": []},
    "torchvision": {"version": "0.29.2"},
    "faiss": {"version": "1.15.1"},
    "sklearn": {"version": "1.9"},
}


def test_it_recognizes_a_torchvision_built_for_another_torch() -> None:
    found = {c.name: c for c in doctor.libraries({**FINE, "torchvision": NMS})}
    assert found["torchvision"].state == "wrong"
    assert "built for another torch than 2.15.0+cpu" in found["torchvision"].text
    assert found["torchvision"].text.endswith("--index-url https://download.pytorch.org/whl/cpu")
    on_cuda = {"version": "2.15.0+cu132", "cuda": "13.2", "devices": ["H200"]}
    assert doctor.vision_advice(NMS["error"], on_cuda).endswith("/whl/cu132")
    assert found["torch"].state == "ok"
    assert found["GPU"].state == "note"


def test_it_says_what_to_install() -> None:
    broken = {"torch": {"error": "ModuleNotFoundError: No module named 'torch'"}, "faiss": {"error": "ImportError: x"}}
    found = {c.name: c for c in doctor.libraries(broken)}
    assert "pip install" in found["torch"].text
    assert "GPU" not in found
    assert found["faiss"].text.endswith("pip install faiss-cpu")


def test_the_page_and_the_exit_code(cllab: Cllab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "probe", lambda: FINE)
    said = cllab("doctor")
    assert said.code == 0
    assert "2.15.0+cpu (CPU only)" in said.out
    monkeypatch.setattr(doctor, "probe", lambda: {**FINE, "torchvision": NMS})
    said = cllab("doctor", "--json")
    assert said.code == 1
    states = {c["name"]: c["state"] for c in json.loads(said.out)}
    assert states["torchvision"] == "wrong"
    assert {"python", "terminal", "unicode", "color", "data", "cache", "runs"} <= set(states)


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    assert doctor._writable("runs", deep).state != "wrong"
    assert not deep.exists()
    refused = doctor._writable("runs", deep, access=lambda *_: False)
    assert refused.state == "wrong"
    assert "$CLLAB_RUNS" in refused.text
    (tmp_path / "file").write_text("")
    assert doctor._writable("cache", tmp_path / "file" / "x", os.access).state == "wrong"


def test_the_probe_answers_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PROBE", 'import sys; print(\'noise\'); print(\'{"torch": {"version": "1"}}\')')
    assert doctor.probe() == {"torch": {"version": "1"}}
    monkeypatch.setattr(doctor, "_PROBE", "import os; os.abort()")
    assert "error" in doctor.probe()["torch"]
