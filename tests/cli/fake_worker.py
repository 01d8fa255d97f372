"""A training process that does what $FAKE says, by the run's seed, e.g. `{"1": "exit 3", "2": "wait"}`; without torch.

exit N      ends at once with that code
kill        is killed
done        ends well
wait        trains until the file `go` lies in its folder, then ends well; asked to stop, it writes a checkpoint
finish      trains until it is asked to stop, then ends well
slow N      like wait, but its checkpoint takes N seconds
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from cllab.errors import EXIT_DONE, EXIT_TERMINATED
from cllab.io.files import write_atomically
from cllab.record import events as ev
from cllab.record.runs import Run
from tests.recorded import SEEN, TRIANGLE, records


def finish(run: Run) -> int:
    asked = run.config()
    *said, last = list(records(asked, run.id, TRIANGLE, SEEN, status="done"))
    sink = run.sink()
    for event in [*said, last]:
        sink(event)
    assert isinstance(last, ev.RunEnded)
    result = {
        "name": asked.name,
        "status": "done",
        "seed": asked.seed,
        "signature": asked.signature,
        "config": ev.plain(asked.to_dict()),
        "accuracy_matrix": ev.plain(TRIANGLE),
        "metrics": ev.plain({**last.metrics, "task_accuracy": 0.65}),
        "seconds": {"total": 1.0},
    }
    write_atomically(run.result_path, json.dumps(result))
    return EXIT_DONE


def main(folder: str) -> int:
    run = Run(Path(folder))
    what, _, number = json.loads(os.environ["FAKE"])[str(run.config().seed % 1000)].partition(" ")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lock = run.take()
    assert lock
    if what == "exit":
        return int(number)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "done":
        return finish(run)
    run.sink()(ev.PhaseStarted(phase="stream", task=0, steps=10))
    while not (run.folder / "go").exists():
        if run.control_path.exists() and "stop" in run.control_path.read_text():
            if what == "finish":
                return finish(run)
            time.sleep(float(number or 0))
            run.checkpoint_path.write_bytes(b"whole")
            run.sink()(ev.RunEnded(status="stopped", reason="stopped on request"))
            return EXIT_TERMINATED
        time.sleep(0.02)
    return finish(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
