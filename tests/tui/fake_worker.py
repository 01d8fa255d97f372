"""Stands in for the training process: writes a recorded run over time and obeys the control file, without torch.

Used through `CLLAB_WORKER_CMD="python tests/tui/fake_worker.py"`. `CLLAB_FAKE` holds JSON: `rate` (records per second;
0 for as fast as possible), `exit` (an exit code after half of the records), and the arguments of `recorded.records`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cllab.record import events as ev
from cllab.record.runs import Run
from tests.tui.recorded import records


class Control:
    """The commands of a viewer, in their order."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.paused = False
        self.one_task = False
        self.stop = False
        self._seen = 0
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stop", True))

    def look(self) -> None:
        try:
            text = self.run.control_path.read_text(encoding="utf-8")
        except OSError:
            return
        new, self._seen = text[self._seen :], len(text)
        for line in new.splitlines():
            self.apply(line.split()[1])

    def apply(self, name: str) -> None:
        if name == "pause":
            self.paused = True
        elif name == "resume":
            self.paused = self.one_task = False
        elif name == "step":
            self.paused, self.one_task = False, True
        elif name == "stop":
            self.stop = True


def main(folder: str) -> int:
    story: dict[str, Any] = json.loads(os.environ.get("CLLAB_FAKE", "{}"))
    rate = float(story.pop("rate", 0))
    code = story.pop("exit", None)
    deaf = bool(story.pop("deaf", False))
    run = Run(Path(folder))
    lock = run.take()
    sink = run.sink()
    control = Control(run)
    log = list(records(run.id, memory_folder=run.memory_folder, **story))
    print("reading cifar10", flush=True)
    for i, event in enumerate(log):
        if code is not None and i > len(log) // 2:
            print("RuntimeError: CUDA error: an illegal memory access was encountered", flush=True)
            return int(code)
        if not deaf:
            control.look()
        if control.paused:
            sink(ev.Paused(task=0, step=i))
            while control.paused and not control.stop:
                time.sleep(0.01)
                control.look()
            if not control.stop:
                sink(ev.Resumed(task=0, step=i))
        if control.stop and not deaf:
            sink(ev.RunEnded(status="stopped", reason="stopped by a viewer"))
            return 0
        sink(event)
        if isinstance(event, ev.TaskEnded) and control.one_task:
            control.paused, control.one_task = True, False
        if rate:
            time.sleep(1 / rate)
    if isinstance(log[-1], ev.RunEnded):
        run.result_path.write_text(json.dumps({"status": log[-1].status, "metrics": log[-1].metrics}))
    lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
