"""disjoint, task-incremental and base-half: which classes go where."""

from __future__ import annotations

import pytest
import torch
from scenario_toys import dataset, stream, used

from cllab.errors import UsageError
from cllab.settings.registry import component


def test_disjoint_is_a_partition_by_class() -> None:
    data = dataset(train=[3, 5, 7, 9, 11, 13, 15, 17, 19, 21])
    made = stream("disjoint", data, tasks=5)
    assert used(made) == list(range(120))
    assert [task.classes for task in made.tasks] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    assert all(task.exposed == task.classes and not task.has_label for task in made.tasks)
    assert [len(task.test) for task in made.tasks] == [8] * 5
    sizes = torch.tensor([3, 5, 7, 9, 11, 13, 15, 17, 19, 21])[list(made.class_order)]
    expected = torch.zeros(5, 10, dtype=torch.long)
    for k in range(10):
        expected[k // 2, k] = sizes[k]
    assert torch.equal(made.counts, expected)
    assert not made.online
    assert made.seen(1) == (0, 1, 2, 3)


def test_disjoint_gives_the_first_tasks_one_more() -> None:
    made = stream("disjoint", dataset(), tasks=4, class_order="natural", stream="online")
    assert [task.classes for task in made.tasks] == [(0, 1, 2), (3, 4, 5), (6, 7), (8, 9)]
    assert made.online


def test_train_share_leaves_out_the_same_images_everywhere() -> None:
    data = dataset(train=40)
    made = [
        stream("disjoint", data, tasks=5, train_share=0.9),
        stream("disjoint", data, tasks=2, train_share=0.9, class_order="natural"),
        stream("blurry", data, tasks=5, train_share=0.9, percent=30),
    ]
    assert used(made[0]) == used(made[1]) == used(made[2])
    assert made[0].counts.sum(0).tolist() == [36] * 10
    assert made[0].notes["left_out"] == 40
    assert used(stream("disjoint", data, seed=2, train_share=0.9)) != used(made[0])


def test_the_dataset_is_left_as_it_was() -> None:
    data = dataset()
    labels, pixels = data.train.labels.clone(), data.train.images.fetch(torch.arange(200))
    for name in ("disjoint", "blurry", "permuted", "base-half"):
        stream(name, data)
    assert torch.equal(data.train.labels, labels)
    assert torch.equal(data.train.images.fetch(torch.arange(200)), pixels)


def test_images_keep_their_pixels() -> None:
    data = dataset()
    task = stream("blurry", data).tasks[2]
    rows = task.train.index
    assert torch.equal(task.train.fetch(torch.arange(len(task.train))), data.train.fetch(rows))


@pytest.mark.parametrize("name", ["disjoint", "blurry", "task-incremental", "permuted", "rotated", "base-half"])
def test_one_seed_one_stream(name: str) -> None:
    data = dataset()
    values = {"samples": 50} if name in ("permuted", "rotated") else {}
    one, again = (stream(name, data, seed=4, **values) for _ in range(2))
    for a, b in zip(one.tasks, again.tasks, strict=True):
        assert torch.equal(a.train.index, b.train.index)
        assert torch.equal(a.train.labels, b.train.labels)
        part = torch.arange(len(a.test))
        assert torch.equal(a.test.fetch(part), b.test.fetch(part))


def test_base_half() -> None:
    data = dataset(train=2, test=1, n_classes=100, name="cifar100")
    made = stream("base-half", data, tasks=6)
    assert [len(task.classes) for task in made.tasks] == [50, 10, 10, 10, 10, 10]
    assert [len(task.train) for task in made.tasks] == [100, 20, 20, 20, 20, 20]
    assert made.class_order[:5] == (68, 56, 78, 8, 23)
    assert [task.name for task in made.tasks[:2]] == ["base", "phase 1"]
    for tasks, size in ((11, 5), (26, 2)):
        parts = stream("base-half", data, tasks=tasks, class_order="natural").tasks
        assert [len(task.classes) for task in parts] == [50] + [size] * (tasks - 1)
        assert [c for task in parts for c in task.classes] == list(range(100))
    odd = stream("base-half", dataset(n_classes=7), tasks=4)
    assert [len(task.classes) for task in odd.tasks] == [4, 1, 1, 1]


def test_task_incremental_parts() -> None:
    data = dataset(train=3, test=1, n_classes=100, name="cifar100")
    whole = stream("task-incremental", data, tasks=20, class_order="bilevel", cv_tasks=3)
    cv = stream("task-incremental", data, tasks=20, class_order="bilevel", cv_tasks=3, part="cv")
    cl = stream("task-incremental", data, tasks=20, class_order="bilevel", cv_tasks=3, part="cl")
    assert (whole.n_tasks, cv.n_tasks, cl.n_tasks) == (20, 3, 17)
    assert (cv.n_classes, cl.n_classes) == (15, 85)
    assert whole.class_names == cv.class_names + cl.class_names
    assert cl.tasks[0].classes == (0, 1, 2, 3, 4)
    assert [task.index for task in cl.tasks] == list(range(17))
    assert sorted(used(cv) + used(cl)) == used(whole) == list(range(300))
    assert all(task.has_label for task in cl.tasks)
    for t, task in enumerate(cl.tasks):
        assert torch.equal(task.train.index, whole.tasks[t + 3].train.index)
        assert torch.equal(task.train.labels + 15, whole.tasks[t + 3].train.labels)
        assert torch.equal(task.test.labels + 15, whole.tasks[t + 3].test.labels)


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("disjoint", {"tasks": 11}, "tasks = 11 is more than the 10 classes"),
        ("blurry", {"tasks": 12}, "tasks = 12 is more than the 10 classes"),
        ("task-incremental", {"tasks": 11}, "tasks = 11 is more than the 10 classes"),
        ("task-incremental", {"tasks": 3, "cv_tasks": 3}, "cv_tasks = 3 leaves nothing of 3 tasks"),
        ("task-incremental", {"part": "cv"}, "cv_tasks is 0"),
        ("base-half", {"tasks": 4}, "other 5 of 10 classes do not divide by 3; tasks can be 2, 6"),
        ("permuted", {"samples": 201}, "samples = 201 is more than the 200 training images"),
        ("rotated", {"samples": 201}, "samples = 201 is more than the 200 training images"),
        ("rotated", {"min_angle": 90.0, "max_angle": 45.0}, "min_angle = 90 is more than max_angle = 45"),
    ],
)
def test_refusals(name: str, values: dict[str, object], reason: str) -> None:
    cls = component("scenario", name)
    complete = vars(cls.Config(**values))
    said = cls.check(complete, 10, 200)
    assert said is not None
    assert reason in said
    with pytest.raises(UsageError, match=name) as error:
        stream(name, dataset(), **values)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["disjoint", "blurry", "task-incremental", "permuted", "rotated", "base-half"])
def test_defaults_pass_unknown_data(name: str) -> None:
    cls = component("scenario", name)
    assert cls.check(vars(cls.Config()), None, None) is None
    assert cls.check(vars(cls.Config()), 10, 60_000) is None
