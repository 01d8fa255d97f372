"""Session streams that cannot be made: one line, exit code 2 or 3, no run folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from tests.cli.conftest import Cllab


def test_wrong_lists_and_missing_images_create_nothing(cllab: Cllab, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for name in ("cup", "ball"):
        for s in range(1, 5):
            (folder / name / f"s{s}").mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(folder / name / f"s{s}" / "0.png")
    preset = tmp_path / "mine.toml"
    preset.write_text(
        f'[dataset]\nname = "session-folder"\nroot = "{folder}"\nsize = 4\n[scenario]\nname = "nicv2"\n'
        '[model]\nname = "mlp"\n[method]\nname = "finetune"\n'
    )
    runs = tmp_path / "runs"

    def refused(code: int, reason: str, *sets: str) -> None:
        said = cllab("run", "--headless", str(preset), *(word for item in sets for word in ("--set", item)))
        assert said.code == code, said.err
        lines = [line for line in said.err.splitlines() if not line.startswith("reading")]
        assert len(lines) == 1
        assert reason in lines[0]
        assert not runs.exists() or not any(runs.iterdir())

    refused(2, "lists = 'nowhere': no such folder", "scenario.lists=nowhere")
    refused(2, "no folder NIC_v2_391/run0 of file lists", f"scenario.lists={tmp_path}")
    place = tmp_path / "NIC_v2_391" / "run0"
    place.mkdir(parents=True)
    (place / "train_batch_00_filelist.txt").write_text("cup/s1/0.png 2\ncup/s1/77.png 2\n")
    refused(3, "'cup/s1/77.png' is not among the images", f"scenario.lists={tmp_path}")
    refused(
        2, "units = 3, but there are published lists for 1, 2 and 5", f"scenario.lists={tmp_path}", "scenario.units=3"
    )
    shutil.rmtree(folder)
    folder.mkdir()
    refused(3, "session-folder: nothing found in")
