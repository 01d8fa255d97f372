"""Which stream labels are a task's own. Plain Python: also used to draw a scenario before anything is loaded."""

from __future__ import annotations


def equal_parts(n_classes: int, tasks: int) -> list[range]:
    """Labels 0..K-1 cut into `tasks` runs; where K is not a multiple, the first runs have one more."""
    size, rest = divmod(n_classes, tasks)
    starts = [t * size + min(t, rest) for t in range(tasks + 1)]
    return [range(starts[t], starts[t + 1]) for t in range(tasks)]


def half_parts(n_classes: int, tasks: int) -> list[range]:
    """Half of the labels, rounded up, and then `tasks` - 1 runs of equal size."""
    half = n_classes - n_classes // 2
    size = (n_classes - half) // (tasks - 1)
    return [range(half), *(range(start, start + size) for start in range(half, n_classes, size))]


def too_many(tasks: int, n_classes: int | None) -> str | None:
    """Why `tasks` tasks cannot each own a class, or None."""
    if n_classes is not None and tasks > n_classes:
        return f"tasks = {tasks} is more than the {n_classes} classes of the data"
    return None


def no_half(tasks: int, n_classes: int | None) -> str | None:
    """Why half of the classes cannot be followed by `tasks` - 1 phases of equal size, or None."""
    if n_classes is None:
        return None
    rest, phases = n_classes // 2, tasks - 1
    if rest == 0:
        return "half of the classes first needs at least 2 classes"
    if rest % phases:
        fits = [n + 1 for n in range(1, rest + 1) if rest % n == 0]
        near = sorted(sorted(fits, key=lambda n: abs(n - tasks))[:6])
        allowed = ", ".join(map(str, near)) + (", ..." if len(fits) > len(near) else "")
        return (
            f"tasks = {tasks} is the base task and {phases} phases, and the other {rest} of {n_classes} classes do not "
            f"divide by {phases}; tasks can be {allowed}"
        )
    return None


def kept_tasks(tasks: int, cv_tasks: int, part: str) -> tuple[range | None, str | None]:
    """(the tasks of `tasks` that `part` keeps, None) or (None, why there are none)."""
    if cv_tasks >= tasks:
        return None, f"cv_tasks = {cv_tasks} leaves nothing of {tasks} tasks; it must be less than tasks"
    if part == "cv" and cv_tasks == 0:
        return None, "part = 'cv' keeps the first cv_tasks tasks, and cv_tasks is 0"
    kept = {"all": range(tasks), "cv": range(cv_tasks), "cl": range(cv_tasks, tasks)}
    return kept[part], None
