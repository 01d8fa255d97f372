"""What the memory holds: pictures in groups, what came and went at each task, scores, ages, bytes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize, ScreenResume
from textual.widgets import Static

from cllab.record import events as ev
from cllab.record.state import RunState
from cllab.tui.screens.replay import Replayable
from cllab.tui.snapshots import Snapshot, changes, load
from cllab.tui.theme import RGB
from cllab.tui.view import class_names, counts, memory_records, most, n_tasks, size, task_of_class
from cllab.tui.widgets.composition import class_inks
from cllab.tui.widgets.heat_strip import HeatStrip
from cllab.tui.widgets.key_bar import KeyBar
from cllab.tui.widgets.memory_bar import MemoryBar
from cllab.tui.widgets.mode_bar import ModeBar
from cllab.tui.widgets.pane_tabs import PaneTabs
from cllab.tui.widgets.pictures import Picture, heat_picture
from cllab.tui.widgets.run_header import RunHeader
from cllab.tui.widgets.scrub_bar import ScrubBar
from cllab.tui.widgets.spread import Spread
from cllab.tui.widgets.thumbs import SIZES, Item, Section, ThumbGrid

PANES = (("samples", "samples"), ("amounts", "amounts"), ("spread", "ages and scores"))
SORTS = ("entry", "age", "score")


NEED_A_RUN = ("task", "group", "difference", "sort", "size", "pane")


class MemoryScreen(Replayable):
    """The memory of the open run after one task."""

    CSS_PATH = "memory.tcss"
    HELP = (
        "What the memory held after each task: left and right go through the tasks; d shows what entered and what left."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "task(-1)", "Task before", id="memory.back", key_display="\u2190", show=False),
        Binding("right", "task(1)", "Tasks", id="memory.on", key_display="\u2190\u2192", show=True),
        Binding("g", "group", "By class/task", id="memory.group"),
        Binding("d", "difference", "What changed", id="memory.difference"),
        Binding("s", "sort", "Sort", id="memory.sort"),
        Binding("z", "size", "Size", id="memory.size"),
        Binding("tab", "pane(1)", "Next pane", id="memory.next_pane", show=False),
        Binding("shift+tab", "pane(-1)", "Pane before", id="memory.previous_pane", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.at: int | None = None
        self.by = "class"
        self.sort = "entry"
        self.only_changes = False
        self.current = "samples"
        self._state = RunState()
        self._shown: tuple[object, ...] | None = None
        self._loaded: dict[str, Snapshot | None] = {}
        self._folder = ""
        self._now: Snapshot | None = None
        self._before: Snapshot | None = None
        self._since = "the task before"
        self._inks: list[RGB] = []

    def compose(self) -> ComposeResult:
        yield ModeBar("memory")
        yield RunHeader(id="header", classes="-brief")
        yield MemoryBar(id="bar")
        yield PaneTabs(PANES, id="tabs")
        with Horizontal(id="body"):
            with Vertical(id="side"):
                yield HeatStrip(title="per class", empty="the memory is reported when a task ends", id="amounts")
                yield Spread(title="ages and scores", empty="the memory is reported when a task ends", id="spread")
            with Vertical(id="main"):
                yield ThumbGrid(title="samples", empty="the memory is reported when a task ends", id="samples")
                yield Static("", id="sentence", markup=False)
        yield Static("", id="nothing")
        yield ScrubBar(id="scrub")
        yield KeyBar()

    def on_mount(self) -> None:
        self._arrange()
        if self.lab.feed is not None:
            self.query_one("#samples").focus()
        self.set_interval(1.0, self._tick)

    @on(ScreenResume)
    def _resumed(self) -> None:
        feed = self.lab.feed
        self._shown = None
        self._arrange()
        if feed is not None:
            self.show_state(feed.state)

    def on_resize(self, _event: Resize) -> None:
        self._arrange()

    # -- drawing

    def show_state(self, state: RunState) -> None:
        """Draw the memory after the chosen task, by default the newest."""
        feed = self.lab.feed
        if feed is None:
            self._arrange()
            return
        if str(feed.run.folder) != self._folder:
            self._folder, self.at, self._loaded = str(feed.run.folder), None, {}
        self._state = state
        self._show_header()
        self.show_player()
        records = memory_records(state)
        index = self._index(records)
        record = records[index] if records else None
        key = (
            self._folder, len(records), index, record, self.by, self.sort, self.only_changes,
            state.started is None, self.app.theme,
        )  # fmt: skip
        if key == self._shown:
            return
        self._shown = key
        self._now = self._read(record.snapshot) if record else None
        # of hundreds of tasks the memory is written after some: what changed did so since the one before that was
        earlier = next((r for r in reversed(records[: max(0, index)]) if r.snapshot), None)
        self._since = "the task before"
        if earlier is not None and earlier is not records[index - 1]:
            self._since = f"T{earlier.task + 1}"
        self._before = self._read(earlier.snapshot) if earlier else None
        self.query_one(MemoryBar).show([r.task for r in records], index, record, state)
        self._draw_amounts(record)
        self._draw_spread(record)
        self._draw_samples(record)
        self._say()

    def _show_header(self) -> None:
        """Whose memory this is, and how that run stands."""
        feed, state = self.lab.feed, self._state
        if feed is None:
            return
        name = state.started.name if state.started else feed.run.id
        wish = feed.run.wish(state.status) if feed.is_training else ""
        self.query_one(RunHeader).show(state, name=name, wish=wish, place=self.run_place(state), replayed=feed.replayed)

    def _tick(self) -> None:
        if self.is_current:
            self.follow_the_queue()
            self._show_header()

    def _index(self, records: list[ev.MemoryUpdated]) -> int:
        if not records or self.at is None or self.player is not None:
            return len(records) - 1
        return min(self.at, len(records) - 1)

    def _read(self, name: str) -> Snapshot | None:
        if not name or self.lab.feed is None or "/" in name or "\\" in name:
            return None
        if name not in self._loaded:
            if len(self._loaded) > 8:
                self._loaded.pop(next(iter(self._loaded)))
            snapshot = load(self.lab.feed.run.memory_folder / name)
            if snapshot is None:
                # it may be written a moment after its record
                return None
            self._loaded[name] = snapshot
        return self._loaded[name]

    def _draw_amounts(self, record: ev.MemoryUpdated | None) -> None:
        strip = self.query_one("#amounts", HeatStrip)
        if record is None:
            strip.show((), ())
            return
        # one scale for all moments, so that going from task to task shows what grew and what shrank
        records = memory_records(self._state)
        if self.by == "task":
            n = max(n_tasks(self._state), len(record.per_task))
            strip.border_title = "per task of origin"
            values = [float(v) for v in counts(record.per_task, n)]
            strip.show([f"T{i + 1}" for i in range(n)], values, owners=range(n), top=most(r.per_task for r in records))
        else:
            names = class_names(self._state)
            strip.border_title = "per class"
            values = [float(v) for v in counts(record.per_class, len(names))]
            strip.show(names, values, owners=task_of_class(self._state), top=most(r.per_class for r in records))

    def _draw_spread(self, record: ev.MemoryUpdated | None) -> None:
        rows: list[tuple[str, list[float]]] = []
        notes: list[str] = []
        now = self._now
        if now is not None and len(now):
            step = self._step(now)
            rows.append(("age in steps", [float(step - e) for e in now.entered if e >= 0]))
            if np.isfinite(now.scores).any():
                rows.append((now.score_name or "score", now.scores.tolist()))
        if record is not None:
            notes += [f"{kind}: {size(n)}" for kind, n in record.bytes.items()]
        self.query_one("#spread", Spread).show(rows, notes)

    def _step(self, now: Snapshot) -> int:
        """The step at which the snapshot was taken: the last one of its task, at least that of the newest sample."""
        records = memory_records(self._state)
        task = records[self._index(records)].task if records else -1
        last = max((e.step for e in self._state.evaluations if e.task == task), default=0)
        return max(last, int(now.entered.max(initial=0)))

    def _draw_samples(self, record: ev.MemoryUpdated | None) -> None:
        grid = self.query_one("#samples", ThumbGrid)
        now, latents = self._now, record is not None and "latents" in record.bytes
        if record is None:
            grid.show((), keep=False)
        elif now is None:
            grid.show([Section(self._why_none(record), ())], keep=False)
        elif not len(now):
            grid.show([Section("the memory is empty", ())], keep=False)
        else:
            grid.show(self._sections(now))
        grid.border_title = (
            "what entered and what left" if self.only_changes else "images behind the latents" if latents else "samples"
        )

    def _why_none(self, record: ev.MemoryUpdated) -> str:
        """Why there are no samples to be seen, and after which task there are."""
        if record.snapshot:
            return f"{record.snapshot} is missing or cannot be read"
        written = [r.task + 1 for r in memory_records(self._state) if r.snapshot]
        if not written:
            return "this memory wrote no pictures"
        near = min(written, key=lambda t: abs(t - record.task - 1))
        return f"of {n_tasks(self._state)} tasks the memory is written after {len(written)}, the nearest T{near}"

    def _sections(self, now: Snapshot) -> list[Section]:
        fresh, gone = changes(now, self._before)
        self._inks = class_inks(self._state, self.lab.palette)
        order = self._order(now)
        if self.only_changes:
            entered = [i for i in order if fresh[i]]
            left = [int(i) for i in np.flatnonzero(gone)]
            since = "the beginning" if self._before is None else self._since
            sections = [Section(f"{len(entered)} entered since {since}", [self._item(now, i, "new") for i in entered])]
            if self._before is not None:
                before = self._before
                sections.append(Section(f"{len(left)} left", [self._item(before, i, "left") for i in left]))
            return sections
        groups = now.labels if self.by == "class" else now.tasks
        names = class_names(self._state)
        sections = []
        for group in np.unique(groups).tolist():
            members = [i for i in order if groups[i] == group]
            if self.by == "class":
                title = names[group] if 0 <= group < len(names) else f"class {group}"
            else:
                title = f"T{group + 1}" if group >= 0 else "unknown task"
            n_new = int(fresh[members].sum())
            note = f", {n_new} new" if n_new and self._before is not None else ""
            items = [self._item(now, i, "new" if fresh[i] and self._before is not None else "") for i in members]
            sections.append(Section(f"{title}: {len(members)}{note}", items))
        return sections

    def _order(self, now: Snapshot) -> list[int]:
        if self.sort == "age":
            key = now.entered.astype(float)
        elif self.sort == "score":
            key = -np.nan_to_num(now.scores, nan=-np.inf)
        else:
            # those with a picture first
            key = (now.pictures < 0).astype(float)
        return [int(i) for i in np.argsort(key, kind="stable")]

    def _item(self, snapshot: Snapshot, i: int, mark: str) -> Item:
        label = int(snapshot.labels[i])
        names = class_names(self._state)
        name = names[label] if 0 <= label < len(names) else str(label)
        if self.sort == "score" and np.isfinite(snapshot.scores[i]):
            caption = f"{snapshot.scores[i]:.2f} {name}"
        else:
            caption = name if self.by == "class" or mark else f"T{int(snapshot.tasks[i]) + 1} {name}"
        return Item(int(snapshot.ids[i]), self._picture(snapshot, i), caption, mark, self._color(snapshot, i))

    def _color(self, snapshot: Snapshot, i: int) -> RGB:
        palette = self.lab.palette
        inks = self._inks
        if self.by == "task":
            return palette.of(max(0, int(snapshot.tasks[i])), max(1, n_tasks(self._state)))
        label = int(snapshot.labels[i])
        return inks[label] if 0 <= label < len(inks) else palette.muted

    def _picture(self, snapshot: Snapshot, i: int) -> Picture | None:
        """The sample's picture; a sample that is only a latent or codes is drawn as their heat map."""
        if snapshot.pictures[i] >= 0:
            picture: Picture = snapshot.thumbs[snapshot.pictures[i]]
            return picture
        for name in ("latents", "codes", "features"):
            if name in snapshot.columns:
                return heat_picture(snapshot.columns[name][i], self.lab.palette.heat)
        return None

    def _say(self) -> None:
        """The selected sample in words."""
        item = self.query_one("#samples", ThumbGrid).item
        text = ""
        if item is not None:
            snapshot = self._before if item.mark == "left" else self._now
            if snapshot is not None:
                found = np.flatnonzero(snapshot.ids == item.key)
                if len(found):
                    text = self._sentence(snapshot, int(found[0]), item)
        self.query_one("#sentence", Static).update(text)

    def _sentence(self, snapshot: Snapshot, i: int, item: Item) -> str:
        names = class_names(self._state)
        label = int(snapshot.labels[i])
        parts = [f"#{item.key}", names[label] if 0 <= label < len(names) else f"class {label}"]
        if snapshot.tasks[i] >= 0:
            parts.append(f"from task {int(snapshot.tasks[i]) + 1}")
        if snapshot.entered[i] >= 0:
            parts.append(f"entered at step {int(snapshot.entered[i])}")
        if np.isfinite(snapshot.scores[i]):
            parts.append(f"{snapshot.score_name or 'score'} {snapshot.scores[i]:.3g}")
        if item.mark == "left":
            parts.append("has left")
        elif item.mark == "new":
            parts.append("new")
        return self.lab.glyphs.sep.join(parts)

    @on(ThumbGrid.Selected)
    def _picked(self) -> None:
        self._say()

    @on(ThumbGrid.Enlarged)
    def _enlarge(self, message: ThumbGrid.Enlarged) -> None:
        from cllab.tui.screens.picture import PictureScreen

        if message.item.picture is None:
            self.notify("this sample has no picture in the run folder", timeout=3)
            return
        self.app.push_screen(PictureScreen(message.item.picture, str(self.query_one("#sentence", Static).content)))

    # -- layout

    @property
    def single(self) -> bool:
        """Whether one pane is shown at a time."""
        return self.size.width < 100 or self.size.height < 24

    def _arrange(self) -> None:
        if not self.is_mounted:
            return
        some = self.lab.feed is not None
        for name in ("#header", "#bar", "#body"):
            self.query_one(name).display = some
        note = self.query_one("#nothing", Static)
        note.display = not some
        note.update("No run is open.  1 sets one up, 4 lists those there are.")
        if not some:
            self.query_one(ScrubBar).display = False
        tabs = self.query_one(PaneTabs)
        tabs.display = self.single and some
        tabs.show(self.current)
        self.set_class(self.single, "-single")
        shown = {k for k, _ in PANES} if not self.single else {self.current}
        for key, _ in PANES:
            self.query_one(f"#{key}").display = key in shown
        self.query_one("#side").display = bool({"amounts", "spread"} & shown)
        self.query_one("#main").display = "samples" in shown
        if not some:
            # keys of a pane that nobody sees
            self.set_focus(None)
        elif self.focused is None or not self.focused.display:
            self.query_one(f"#{self.current}").focus()

    def action_pane(self, by: int) -> None:
        """Go to the next pane, or show it when there is room for one only."""
        keys = [k for k, _ in PANES]
        here = self.focused.id if self.focused is not None and self.focused.id in keys else self.current
        self._choose(keys[(keys.index(here or keys[0]) + by) % len(keys)])

    def _choose(self, pane: str) -> None:
        self.current = pane
        self._arrange()
        self.query_one(f"#{pane}").focus()
        self.refresh_bindings()

    @on(PaneTabs.Chosen)
    def _pane_chosen(self, message: PaneTabs.Chosen) -> None:
        self._choose(message.pane)

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In a replay, left and right belong to the tasks here, not to the clock."""
        if action == "scrub" or (
            self.lab.feed is None and action in ("task", "group", "difference", "sort", "size", "pane")
        ):
            return False
        if action in ("difference", "sort", "size") and not self.query_one("#main").display:
            # what changes nothing that is seen
            return False
        return super().check_action(action, parameters)

    def action_task(self, by: int) -> None:
        """Go to the memory after the task before or after; a replay goes there with it."""
        if self.player is not None:
            ends = self.player.timeline.ends
            done = len(memory_records(self._state)) - 1
            if ends:
                self.player.seek_end_of(min(max(0, done + by), len(ends) - 1))
            return
        records = memory_records(self._state)
        if not records:
            return
        at = min(max(0, self._index(records) + by), len(records) - 1)
        # the newest follows the run
        self.at = None if at == len(records) - 1 else at
        self.show_state(self._state)

    def go_to(self, task: int) -> None:
        """The memory after `task`, or after the last one before it that told of it."""
        super().go_to(task)
        records = memory_records(self._state)
        if self.player is None and records:
            before = [i for i, r in enumerate(records) if r.task <= task]
            self.action_task((before[-1] if before else 0) - self._index(records))

    @on(MemoryBar.Chosen)
    def _task_chosen(self, message: MemoryBar.Chosen) -> None:
        self.action_task(message.index - self._index(memory_records(self._state)))

    def action_group(self) -> None:
        """By class or by task of origin."""
        self.by = "task" if self.by == "class" else "class"
        self.show_state(self._state)

    def action_difference(self) -> None:
        """What entered and what left, or everything."""
        self.only_changes = not self.only_changes
        self.show_state(self._state)

    def action_sort(self) -> None:
        """By place in the memory, by age, by score."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self.notify(f"sorted by {self.sort}", timeout=2)
        self.show_state(self._state)

    def action_size(self) -> None:
        """Larger pictures, then small again."""
        grid = self.query_one("#samples", ThumbGrid)
        fitting = [s for s in SIZES if s <= max(8, grid.size.width) and s // 2 + 2 <= max(6, grid.size.height)]
        here = fitting.index(grid.pixels) if grid.pixels in fitting else -1
        grid.pixels = fitting[(here + 1) % len(fitting)]
        grid.invalidate()
