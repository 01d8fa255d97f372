"""What nobody means but somebody types or sends: escape sequences, names that are no paths, numbers without end."""

from __future__ import annotations

import json
import os
import shlex
import signal
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from cllab.engine.control import Control
from cllab.errors import EXIT_DATA, EXIT_DONE, EXIT_FAILED, EXIT_USAGE, CllabError, UsageError
from cllab.record import events as ev
from cllab.record.runs import Run, RunStore
from cllab.settings import sizes
from cllab.settings.config import RunConfig
from cllab.text import clean, cleaned, clip, shown
from cllab.tui.index import RunIndex
from tests.cli.conftest import Cllab, Said
from tests.recorded import config, write_run

TITLE, PASTE, RED = "\x1b]0;owned\x07", "\x1b]52;c;ZXZpbA\x1b\\", "\x1b[31m"
EVIL = f"a{TITLE}b{PASTE}c{RED}d\x00e\x7ff\x9b31mg\x9d0;x\x9ch\u202ei"
PRESET = 'name = "toy"\n[dataset]\nname = "blobs"\n[scenario]\ntasks = 2\n[method]\nname = "finetune"\n'
QUICK = ("--set", "dataset=blobs", "--set", "model=mlp", "--set", "scenario=permuted", "--set", "evaluate.every=0")


def refused(said: Said, *says: str, code: int = EXIT_USAGE) -> None:
    assert said.code == code, said.err
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert len(said.err) < 700
    assert said.err.startswith("cllab: ")
    assert said.out == ""
    for text in says:
        assert text in said.err
    assert not Path(os.environ["CLLAB_RUNS"]).exists()


def obeyed(text: str) -> None:
    """Fail where a terminal would do something with `text` beside showing it."""
    assert not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c == "\u202e" for c in text), repr(text)


def harmless(text: str) -> None:
    """Nothing of a sequence is left, not even what it would have done."""
    obeyed(text)
    assert "owned" not in text
    assert "ZXZpbA" not in text


# -- text


def test_cleaning_takes_sequences_whole_and_leaves_text_alone() -> None:
    assert clean(EVIL) == "abcdefghi"
    assert clean("a\tb\r\nc\u2028d") == "a b c d"
    assert clean("a\tb\r\nc\x85d\x1b[0m", lines=True) == "a b\nc\nd"
    assert clean("plain ± · 日本 é") == "plain ± · 日本 é"
    assert clean("\x1b]0;never ended") == ""
    assert clean("\x1b]0;never ended\nnext", lines=True) == "\nnext"
    assert clean("\x1bPq#0;2\x1b\\x\x1b(B\x1b") == "x"
    assert clean(b"\xff.toml".decode(errors="surrogateescape")) == "\ufffd.toml"
    assert cleaned({"a\x00": [EVIL, {"b": EVIL}, 1.5, None]}) == {"a": ["abcdefghi", {"b": "abcdefghi"}, 1.5, None]}


def test_long_values_are_told_short() -> None:
    assert clip("x" * 50, 50) == "x" * 50
    assert len(clip("x" * 10_000)) <= 600
    assert clip("begin" + "x" * 1000 + "end").startswith("begin")
    assert clip("begin" + "x" * 1000 + "end").endswith("end")
    assert len(shown("x" * 10**7)) <= 80
    assert shown(10**5000) == "a number too long to write"
    assert len(str(UsageError("x" * 10**6))) <= 600
    assert str(UsageError(EVIL)) == "abcdefghi"


# -- what is typed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "~nobody-here", "--headless"), "no preset '~nobody-here'"),
        (("run", "~nobody-here/x.toml", "--headless"), "no preset file '~nobody-here/x.toml'"),
        (("run", "quickstart", "--headless", "--set", "method.file=~nobody-here/x.py"), "~nobody-here/x.py"),
        (("show", "~nobody-here"), "no run '~nobody-here'"),
        (("resume", "~"), "no run '~'"),
        (("compare", "~nobody-here"), "no run '~nobody-here'"),
        (("table", "~nobody-here"), "no plan '~nobody-here'"),
        (("explain", "~nobody-here"), "nothing is called '~nobody-here'"),
        (("explain", "~nobody-here.py"), "no file '~nobody-here.py'"),
        (("run", "x" * 300 + ".toml", "--headless"), "no preset file"),
        (("run", "a\x00b", "--headless"), "no preset 'ab'"),
        (("show", "x" * 5000), "no run"),
        (("run", EVIL, "--headless"), "no preset 'abcdefghi'"),
        (("run", "quickstart", "--headless", "--set", f"{EVIL}=1"), "no key 'abcdefghi'"),
        (("run", "quickstart", "--headless", "--set", f"train.lr={EVIL}"), "abcdefghi"),
        (("run", "quickstart", "--headless", "--set", f"method={EVIL}"), "abcdefghi"),
        (("list", EVIL), "nothing is called 'abcdefghi'"),
        (("run", "quickstart", "--\x1b[31mred"), "no such option"),
        (("run", "quickstart", "--headless", "--set", "x" * 100_000), "expected KEY=VALUE"),
        (("run", "quickstart", "--headless", "--set", "train.lr=" + "x" * 100_000), "train.lr must be a number"),
        (("run", "quickstart", "--headless", "--set", "train.epochs=" + "9" * 5000), "train.epochs must be"),
        (("run", "quickstart", "--headless", "--set", "seed=" + "9" * 5000), "seed must be"),
        (("run", "quickstart", "--headless", "--set", "seed=1e400"), "seed must be"),
        (("run", "quickstart", "--headless", "--set", "scenario.tasks=" + "9" * 300), "tasks must be a whole number"),
        (("run", "quickstart", "--headless", "--set", "train.lr=" + "9" * 400), "train.lr must be"),
        (("run", "quickstart", "--headless", "--set", "memory.capacity=²"), "whole number"),
        (("run", "quickstart", "--headless", "--set", "train.lr=1\nseed=2"), "train.lr must be a number"),
        (("run", "quickstart", "--headless", "--set", 'name="a"\nseed=2\nx="b"', "--set", "seed=x"), "seed"),
        (("run", "quickstart", "--headless", "--set", "expect=1"), "no setting"),
        (("run", "quickstart", "--headless", "--set", "expect.metric=1"), "no table 'expect'"),
        (("run", "quickstart", "--headless", "--set", "train.augment=" + "[" * 2000 + "]" * 2000), "train.augment"),
        (("run", "quickstart", "--headless", "--set", "device=cuda:99999999999999999999"), "must be auto, cpu, cuda"),
        (("run", "quickstart", "--headless", "--set", "device=cuda:²"), "must be auto, cpu, cuda"),
        (("run", "quickstart", "--headless", "--set", "device=cuda:"), "must be auto, cpu, cuda"),
        (("run", "quickstart", "--headless", "--set", "device=cpu\x1b]0;owned\x07x"), "must be auto, cpu, cuda"),
        (("run", "forgetting", "--headless", *QUICK, "--set", "scenario.tasks=100000000000000"), "bytes"),
        (("run", "forgetting", "--headless", *QUICK, "--set", "scenario=rotated", "--set", "scenario.tasks=9999999999"),
         "scenario.tasks = 1e+10 needs at least"),
        (("run", "forgetting", "--headless", "--set", "model=mlp", "--set", "model.width=65536", "--set",
          "model.layers=32"), "model.width = 65536 needs at least 1065 GB (1,065"),
        (("run", "forgetting", "--headless", "--set", "method=er", "--set", "method.replay_size=1000000000000000"),
         "method.replay_size = 1e+15 needs at least"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_short_line(cllab: Cllab, arguments: tuple[str, ...], says: str) -> None:
    said = cllab(*arguments)
    refused(said, says)
    harmless(said.err)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("about = " + "[" * 1000 + "]" * 1000, "nested too deep"),
        ("seed = " + "9" * 5000, "not TOML"),
        ("#" * 1_000_001, "larger than 1 MB"),
        (f'"{"k" * 5000}" = 1', "no key"),
        ('"a\\u001b]0;owned\\u0007" = 1', "no key 'a'"),
        ('[method]\nname = "\\u001b]0;owned\\u0007x"\n[dataset]\nname = "blobs"', "no method 'x'"),
        ("[method]\nfile = 3\n[dataset]\nname = 'blobs'", "method.file must be text"),
        ('[method]\nfile = "a\\u0000b.py"\n[dataset]\nname = "blobs"', "method.file"),
        ("expect = 3\n" + PRESET, "expect"),
        (PRESET + "[[expect]]\nmetric = []\nvalue = 1\ntolerance = 1", "expect"),
    ],
)
def test_a_preset_that_nobody_means_is_one_short_line(cllab: Cllab, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "evil.toml"
    path.write_text(text, encoding="utf-8")
    said = cllab("run", str(path), "--headless")
    refused(said, "evil.toml", says)
    harmless(said.err)
    plan = cllab("table", str(path))
    refused(plan, "evil.toml")


def test_a_tilde_is_a_text_like_any_other() -> None:
    asked = config().override(["name=~x", "about=~", 'dataset.root="~nobody-here"'])
    assert (asked.name, asked.about, asked.dataset.common["root"]) == ("~x", "~", "~nobody-here")
    from cllab.cli.run import _from_here

    assert _from_here("name=~x") == "name=~x"
    assert RunConfig.from_toml(asked.to_toml()) == asked


@pytest.mark.parametrize("name", ["a\x7fb", EVIL, "tab\tnew\nline", 'quote"back\\slash', "日本", "\u2028"])
def test_a_name_survives_its_configuration_without_what_a_terminal_obeys(store: RunStore, name: str) -> None:
    run = store.create(config(name=name))
    assert run.config().name == config(name=name).name == clean(name)
    root = config().override([f"dataset.root={json.dumps(name)}"])
    assert RunConfig.from_toml(root.to_toml()).dataset.common["root"] == name, "a path is kept as it is"


def test_what_fits_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config()
    facts = {"n_train": 1000, "n_classes": 10, "shape": (1, 6, 6)}
    assert list(sizes.problems(asked, facts)) == []
    wide = config().override(["model.width=1000", "model.layers=3"])
    (need,) = [n for key, _, n in sizes.needs(wide, facts) if key == "model.width"]
    assert need == 4 * 2 * (36 * 1000 + 2 * 1000**2 + 1000 * 10), "weights and their gradients in float32"
    monkeypatch.setattr(sizes, "machine_bytes", lambda: int(need) - 1)
    assert next(sizes.problems(wide, facts)).startswith("model.width = 1000 needs at least 16.4 MB (16,368,000 bytes)")
    monkeypatch.setattr(sizes, "machine_bytes", lambda: int(need))
    assert list(sizes.problems(wide, facts)) == []
    monkeypatch.setattr(sizes, "machine_bytes", lambda: 0)
    assert list(sizes.problems(config().override(["model.width=65536"]), facts)) == []


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A method that takes as much memory as it is told to; one file, for to describe one takes seconds."""
    text = (Path(__file__).parents[1] / "my_method.py").read_text()
    told = text.replace(
        "self.teacher = None", "import os, numpy; self.much = eval(os.environ['MUCH']); self.teacher = None"
    )
    assert told != text
    path = tmp_path_factory.mktemp("greedy") / "greedy.py"
    path.write_text(told)
    return path


@pytest.mark.parametrize("call", ["torch.empty(10**15)", "torch.empty(2**62)", "numpy.empty(10**15)"])
def test_memory_that_runs_out_all_the_same_is_one_line(
    cllab: Cllab, tmp_path: Path, greedy: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setenv("MUCH", call)
    path = tmp_path / "toy.toml"
    path.write_text(
        PRESET.replace('name = "finetune"', f"file = {json.dumps(str(greedy))}") + '[model]\nname = "mlp"\n'
    )
    said = cllab("run", str(path), "--headless", "--quiet")
    assert said.code == EXIT_FAILED
    assert "Traceback" not in said.err
    assert "out of memory on cpu" in said.err
    assert len(said.err.strip().splitlines()) == 1


# -- what is read


@pytest.fixture
def evil(store: RunStore) -> Run:
    """A finished run whose every text was written to be obeyed."""
    run = write_run(store, config(name="toy"))
    text = run.config_path.read_text().replace('name = "toy"', f"name = {json.dumps(EVIL)}".replace("\x7f", "\\u007f"))
    run.config_path.write_text(text, encoding="utf-8")
    result = json.loads(run.result_path.read_text())
    result.update(name=EVIL, class_names=[f"{EVIL}{i}" for i in range(6)], device=EVIL, reason=EVIL, status="done")
    result["versions"] = {EVIL: EVIL}
    result["metrics"][EVIL] = 0.5
    result["config"]["method"]["name"] = EVIL
    result["config"][EVIL] = {EVIL: EVIL}
    run.result_path.write_text(json.dumps(result))
    described = json.loads(run.described_path.read_text())
    for component in described["components"]:
        component.update(title=EVIL, summary=EVIL, doc=EVIL + "\n" + EVIL)
    run.described_path.write_text(json.dumps(described))
    return run


def test_no_text_of_a_run_reaches_the_terminal_as_a_command(cllab: Cllab, evil: Run, store: RunStore) -> None:
    folder = store.folder / f"20260101-000000-{TITLE}x{RED}"
    os.rename(evil.folder, folder)
    for arguments in (
        ("show", "last"),
        ("show", "last", "--json"),
        ("list", "runs"),
        ("list", "runs", "--json"),
        ("compare", "last"),
        ("compare", "last", "--md"),
        ("export", "last", "--md", "--out", "-"),
        ("export", "last", "--csv", "--out", "-"),
        ("export", "last", "--json", "--out", "-"),
        ("export", "last", "--svg", "--out", "-"),
        ("resume", "last"),
        ("stop", "last"),
    ):
        said = cllab(*arguments)
        assert said.code in (EXIT_DONE, EXIT_USAGE), (arguments, said.err)
        harmless(said.out.replace("\r", ""))
        harmless(said.err)
    index = RunIndex(store)
    index.refresh()
    (entry,) = index.entries
    harmless(entry.name + entry.reason + entry.device + json.dumps(dict(entry.result), ensure_ascii=False))
    harmless(json.dumps(dict(entry.config), ensure_ascii=False))
    harmless(entry.run.id)


def test_records_of_numbers_without_end_are_no_records() -> None:
    for huge in ("1e400", "9" * 400, "-" + "9" * 400):
        assert ev.from_line(f'{{"kind": "TaskEnded", "task": {huge}, "seconds": {{}}}}') is None
        assert ev.from_line(f'{{"kind": "TaskEnded", "task": 1, "seconds": {{"train": {huge}}}}}') is None
    assert ev.from_line('{"kind": "TaskEnded", "task": 1, "seconds": {"train": 1e99}}') is not None


def test_records_are_clean_whoever_makes_them(store: RunStore) -> None:
    said = ev.Warned(message=EVIL)
    assert said.message == "abcdefghi"
    run = write_run(store, config())
    with run.events_path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": "RunEnded", "status": "failed", "reason": EVIL}) + "\n")
    assert run.status().reason == "abcdefghi"
    assert run.state().reason == "abcdefghi"
    ended = ev.StepEnded(
        task=0, phase=EVIL, step=1, phase_step=1, phase_steps=1, epoch=0, samples=1, losses={EVIL: 0.5}, lr=0.1
    )
    assert (ended.phase, ended.losses) == ("abcdefghi", {"abcdefghi": 0.5})
    run.log_path.write_text(f"{EVIL}\nsecond {RED}line\n")
    assert run.log_tail() == ["abcdefghi", "second line"]


def test_a_folder_of_classes_with_evil_names_trains_and_tells_nothing(cllab: Cllab, tmp_path: Path) -> None:
    from PIL import Image

    for part in ("train", "test"):
        for k, name in enumerate((f"cat{TITLE}", f"dog{RED}")):
            folder = tmp_path / "data" / "imagefolder" / part / name
            folder.mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (8, 8), (60 * k, 20 * i, 90)).save(folder / f"{i}.png")
    path = tmp_path / f"toy{RED}.toml"
    path.write_text(PRESET.replace("blobs", "imagefolder").replace("tasks = 2", "tasks = 1") + '[model]\nname="mlp"\n')
    root = str(tmp_path / "data" / "imagefolder")
    said = cllab("run", str(path), "--headless", "--set", f"dataset.root={json.dumps(root)}", "--set", "name=x")
    assert said.code == EXIT_DONE, said.err
    harmless(said.out)
    harmless(said.err)
    assert "cat" in cllab("show").out


# -- what is in the way


def test_one_result_out_of_shape_does_not_stop_the_others(cllab: Cllab, store: RunStore, tmp_path: Path) -> None:
    good = write_run(store, config("finetune", name="toy"))
    for n, change in enumerate(
        (
            {"accuracy_matrix": [[1], [2, 3]]},
            {"accuracy_matrix": "x"},
            {"metrics": []},
            {"metrics": 0.5},
            {"metrics": {"last_accuracy": 10**400}},
            {"seed": 10**400},
            {"seconds": 3},
            {"metrics": {"last_accuracy": "high"}},
            {"seed": "one"},
            {"config": 3},
            {"config": {"method": "er"}},
            {"memory": [1]},
            {"seconds": {"total": "long"}},
            {"class_names": 3},
            {"stream": [1, 2]},
            {"versions": []},
            {"per_class_accuracy": {"a": 1}},
        ),
        2,
    ):
        run = write_run(store, config(seed=n, name="toy"))
        run.result_path.write_text(json.dumps({**json.loads(run.result_path.read_text()), **change}))
        said = cllab("show", run.id)
        assert said.code in (EXIT_DONE, EXIT_USAGE)
        if said.code:
            assert "result.json: not a result" in said.err
    assert cllab("show", good.id).code == EXIT_DONE
    assert len(cllab("list", "runs").out.splitlines()) == 19
    preset = tmp_path / "toy.toml"
    preset.write_text(good.config_path.read_text())
    plan = tmp_path / "plan.toml"
    plan.write_text(f'title = "T"\nseeds = "1"\n[[rows]]\nlabel = "F"\npreset = "{preset}"\n')
    said = cllab("table", str(plan), "--quiet")
    assert (said.code, said.err) == (EXIT_DONE, "")
    assert "| F | 65.00 |" in said.out


@pytest.mark.parametrize("value", ["07:32:00", "1979-05-27", "1979-05-27T07:32:00Z", "[1979-05-27]"])
def test_a_date_in_a_configuration_is_shown_and_written_as_text(cllab: Cllab, store: RunStore, value: str) -> None:
    run = write_run(store, config(), result=False)
    run.config_path.write_text(run.config_path.read_text().replace("lr = 0.05", f"lr = {value}"))
    assert value in run.config_path.read_text()
    said = cllab("show", run.id, "--json")
    assert said.code == EXIT_DONE
    assert value.strip("[]Z") in str(json.loads(said.out)["config"]["train"]["lr"])
    for form in ("json", "md", "csv"):
        assert cllab("export", run.id, f"--{form}", "--out", "-").code == EXIT_DONE
    assert cllab("list", "runs", "--json").code == EXIT_DONE


def test_the_command_that_explain_offers_can_be_pasted_and_does_nothing_else(cllab: Cllab, tmp_path: Path) -> None:
    path = tmp_path / "my preset.toml"
    path.write_text(PRESET)
    said = cllab(
        "explain",
        str(path),
        "--set",
        "name=two words",
        "--set",
        "method.strength=\x1b]0;owned\x07\x00",
        "--set",
        "method=ewc",
    )
    assert said.code == EXIT_DONE, said.err
    harmless(said.out)
    command = shlex.split(said.out.splitlines()[-1].removeprefix("run it   "))
    assert command[:6] == ["cllab", "run", "--headless", str(path), "--set", "name=two words"]


@pytest.mark.parametrize("form", ["bcl", "gem", "md", "json", "csv"])
def test_a_run_without_its_configuration_is_written_as_far_as_it_goes(cllab: Cllab, store: RunStore, form: str) -> None:
    run = write_run(store, config(), result=False)
    run.config_path.write_text("")
    said = cllab("export", run.id, f"--{form}", "--out", "-")
    assert said.code == (EXIT_USAGE if form in ("bcl", "gem") else EXIT_DONE), said.err
    assert said.code == EXIT_DONE or f"cannot be written as {form}" in said.err


@pytest.mark.parametrize(
    "name", ["events.jsonl", "result.json", "described.json", "lock", "worker.log", "queued", "control", "config.toml"]
)
def test_a_pipe_in_a_run_folder_holds_nothing_up(cllab: Cllab, store: RunStore, name: str) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    write_run(store, config())
    run = write_run(store, config(seed=2))
    (run.folder / name).unlink(missing_ok=True)
    os.mkfifo(run.folder / name)
    listed = cllab("list", "runs")
    assert listed.code == EXIT_DONE
    assert len(listed.out.splitlines()) == (2 if name == "config.toml" else 3)
    assert cllab("show", run.id).code in (EXIT_DONE, EXIT_USAGE)
    assert run.status().state in ("done", "lost")
    run.log_tail()
    index = RunIndex(store)
    index.refresh()


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Whatever would wait for ever fails instead."""

    late: list[AssertionError] = []

    def end(number: int, frame: object) -> None:
        late.append(AssertionError(f"this took longer than {seconds} s"))
        raise late[0]

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if late:  # also when somebody caught it as a mistake of his own
            raise late[0]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", ["events.jsonl", "lock", "worker.log", "control"])
def test_what_is_no_file_is_not_written_to_either(cllab: Cllab, store: RunStore, name: str, kind: str) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    run = write_run(store, config(), status="stopped", result=False)
    path = run.folder / name
    path.unlink(missing_ok=True)
    {"pipe": os.mkfifo, "device": lambda p: p.symlink_to("/dev/zero"), "folder": os.mkdir}[kind](path)
    opened = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    why = "Is a directory" if kind == "folder" and name != "events.jsonl" else "not a regular file"
    with no_longer_than(30):
        if name in ("events.jsonl", "lock"):
            said = cllab("resume", run.id, "--quiet")
            assert said.code == EXIT_FAILED
            assert said.err.splitlines()[-1] == f"cllab: {why}: {path}"
        elif name == "worker.log":
            with pytest.raises(OSError, match=why):
                run.start_worker(resume=True)
            assert not run.is_alive
        else:
            with pytest.raises(CllabError, match=why):
                run.command("stop")
            assert Control(run.control_path, waiting=True).poll() is False
    if opened:
        assert len(os.listdir("/proc/self/fd")) == opened, "nothing stays open"


def test_a_log_with_a_huge_hole_is_not_read_into_memory(store: RunStore, tmp_path: Path) -> None:
    run = write_run(store, config(), status="stopped", result=False)
    whole = run.events_path.read_bytes()
    kept = whole[: whole.index(b"\n") + 1]
    with run.events_path.open("ab") as file:
        file.truncate(len(whole) + (64 << 20))
    tracemalloc.start()
    run.sink(keep_bytes=len(kept) + 3).close()
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert run.events_path.read_bytes() == kept
    aside = run.folder / "discarded.jsonl"
    assert aside.stat().st_size == len(whole) - len(kept) + (64 << 20)
    with aside.open("rb") as file:
        assert file.read(len(whole) - len(kept)) == whole[len(kept) :]


# -- where one may not look


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file that this process may not open, also where it runs as root, who may open anything."""
    path = tmp_path / "closed.toml"
    path.write_text(PRESET)
    real = os.open

    def guarded(name: object, *rest: object, **named: object) -> int:
        if isinstance(name, (str, Path)) and Path(name).name == path.name:
            raise PermissionError(13, "Permission denied", str(name))
        return real(name, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", guarded)
    return path


def test_a_file_that_may_not_be_read_is_exit_3_and_named(cllab: Cllab, forbidden: Path) -> None:
    for arguments in (("run", str(forbidden), "--headless"), ("explain", str(forbidden)), ("table", str(forbidden))):
        refused(cllab(*arguments), f"{forbidden}: Permission denied", code=EXIT_DATA)


@pytest.fixture
def nobody() -> Callable[[], AbstractContextManager[None]]:
    """A context in which this process is one who may only read what others may read; as root it is another user."""
    if not hasattr(os, "setresuid"):
        pytest.skip("this system has no users to change to")

    @contextmanager
    def changed() -> Iterator[None]:
        if os.getuid():
            yield
            return
        os.setresuid(65534, 65534, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return changed


def test_where_one_may_not_look_is_exit_3_and_other_runs_are_listed(
    cllab: Cllab, nobody: Callable[[], AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        os.chmod(place, 0o755)
        store = RunStore(Path(place) / "runs")
        runs = [write_run(store, config(seed=seed)) for seed in (1, 2, 3)]
        monkeypatch.setenv("CLLAB_RUNS", str(store.folder))
        for command in (("list", "runs"), ("show", runs[0].id), ("compare", runs[0].id)):
            cllab(*command)  # whatever is imported late lies where nobody else may look
        closed = [runs[1].config_path, runs[1].events_path, runs[1].result_path, runs[2].folder]
        for path in closed:
            path.chmod(0)
        try:
            with nobody():
                listed = cllab("list", "runs")
                shown = [cllab("show", run.id) for run in runs]
                compared = cllab("compare", runs[0].id)
            store.folder.chmod(0)
            with nobody():
                hidden = cllab("show", runs[0].id), cllab("list", "runs")
        finally:
            store.folder.chmod(0o755)
            for path in closed:
                path.chmod(0o755)
    assert listed.code == EXIT_DONE
    assert [runs[0].id in listed.out, runs[1].id in listed.out, runs[2].id in listed.out] == [True, True, False]
    assert f"left out: {runs[2].folder}: Permission denied" in listed.err
    assert [said.code for said in shown] == [EXIT_DONE, EXIT_DATA, EXIT_DATA]
    assert f"{runs[1].config_path}: Permission denied" in shown[1].err
    assert f"{runs[2].folder}: Permission denied" in shown[2].err
    assert compared.code == EXIT_DONE
    for said in hidden:
        assert (said.code, said.out) == (EXIT_DATA, "")
        assert f"{store.folder}: Permission denied" in said.err
