"""Which samples make which task."""

from tests.mutations.mutant import of

FOLDER = "tests/scenarios"

MUTANTS = [
    *of(
        "cllab/scenarios/_build.py",
        f"{FOLDER}/test_scenario_class_tasks.py {FOLDER}/test_scenario_order.py {FOLDER}/test_scenario_oracles.py "
        f"{FOLDER}/test_scenario_pixels.py::test_rotated_tasks_see_their_angle "
        f"{FOLDER}/test_scenario_blurry.py::test_every_class_is_exposed_and_tests_are_own",
        (
            "the last images of a class are kept",
            "generator.permutation(own)[: max(1, round(share * len(own)))]",
            "own[: max(1, round(share * len(own)))]",
        ),
        ("the share of all classes together", "max(1, round(share * len(own)))", "max(1, round(share * len(rows)))"),
        (
            "test images of all classes",
            "test = np.flatnonzero(np.isin(self.test, np.asarray(classes)))",
            "test = np.arange(len(self.test))",
        ),
        ("labels are the dataset's", ".relabel(self._mapping)", ""),
        (
            "labels by place instead of place by label",
            "mapping[order] = np.arange(len(order))",
            "mapping[: len(order)] = order",
        ),
        (
            "names in the dataset's order",
            "class_names=tuple(self.dataset.classes[c] for c in self.order)",
            "class_names=tuple(self.dataset.classes[: len(self.order)])",
        ),
        (
            "test images are seen without the transform",
            "test=self._split(self.dataset.test, test, transform)",
            "test=self._split(self.dataset.test, test, None)",
        ),
        ("a task exposes no class", "exposed=tuple(classes)", "exposed=()"),
        ("the last class of a part goes elsewhere", "(labels < part.stop)", "(labels < part.stop - 1)"),
    ),
    *of(
        "cllab/scenarios/_parts.py",
        f"{FOLDER}/test_scenario_class_tasks.py",
        (
            "the last tasks have one more",
            "starts = [t * size + min(t, rest) for t in range(tasks + 1)]",
            "starts = [t * size + max(0, t - tasks + rest) for t in range(tasks + 1)]",
        ),
        ("half rounded down", "half = n_classes - n_classes // 2\n    size", "half = n_classes // 2\n    size"),
        (
            "cv and cl exchanged",
            '"cv": range(cv_tasks), "cl": range(cv_tasks, tasks)',
            '"cl": range(cv_tasks), "cv": range(cv_tasks, tasks)',
        ),
    ),
    *of(
        "cllab/scenarios/_order.py",
        f"{FOLDER}/test_scenario_order.py",
        (
            "a NumPy generator of today",
            "np.random.RandomState(seed % 2**32).shuffle(order)",
            "np.random.default_rng(seed).shuffle(order)",
        ),
        ("CIFAR-10 in its own order", 'if name == "cifar10" and n_classes == 10:', "if False:"),
        (
            "iCaRL's order depends on the seed",
            "return shuffled(range(n_classes), 1993)",
            "return shuffled(range(n_classes), seed)",
        ),
        (
            "bilevel: the inverse permutation",
            "return np.argsort(_torch_permutation(n_classes))",
            "return (_torch_permutation(n_classes))",
        ),
        (
            "bilevel depends on the seed",
            "return np.argsort(_torch_permutation(n_classes))",
            "return np.argsort(shuffled(range(n_classes), seed))",
        ),
        (
            "random is the same for every seed",
            'np.random.default_rng(derive(seed, "scenario.classes"))',
            "np.random.default_rng(0)",
        ),
    ),
    *of(
        "cllab/scenarios/blurry.py",
        f"{FOLDER}/test_scenario_blurry.py {FOLDER}/test_scenario_oracles.py",
        (
            "clean: the first images stay",
            "np.split(draw.permutation(pool), np.cumsum(flow[a])[:-1])",
            "np.split(pool, np.cumsum(flow[a])[:-1])",
        ),
        (
            "clean: minors are not mixed",
            "draw.permutation(np.concatenate([pieces[a][b] for a in range(n) if a != b]))",
            "np.concatenate([pieces[a][b] for a in range(n) if a != b])",
        ),
        (
            "clean: minors go the other way",
            "np.concatenate([pieces[a][b] for a in range(n) if a != b])",
            "np.concatenate([pieces[b][a] for a in range(n) if a != b])",
        ),
        (
            "official: the share that is given is kept",
            "keep = [round((1 - share) * len(pool)) for pool in pools]",
            "keep = [round(share * len(pool)) for pool in pools]",
        ),
        ("official: leftovers are not mixed", "rest = draw.permutation(np.concatenate(", "rest = (np.concatenate("),
        ("official: majors are the first", "mixed = [draw.permutation(pool) for pool in pools]", "mixed = list(pools)"),
        ("official: one leftover is lost to every task", "size = len(rest) // n", "size = len(rest) // n - 1"),
        ("official: parts overlap", "rest[t * size : (t + 1) * size]", "rest[t * size : (t + 2) * size]"),
        ("notebook: a task gets its own leftovers too", "if b != a:\n", "if True:\n"),
        (
            "notebook: drawn with replacement",
            "len(rest) // (n - 1), replace=False",
            "len(rest) // (n - 1), replace=True",
        ),
        (
            "notebook: a share for every task",
            "draw.choice(rest, len(rest) // (n - 1)",
            "draw.choice(rest, len(rest) // n",
        ),
        ("only own classes are exposed", "if config.percent > 0:", "if False:"),
        ("all classes are exposed without a blur", "if config.percent > 0:", "if True:"),
    ),
    *of(
        "cllab/scenarios/_mix.py",
        f"{FOLDER}/test_scenario_blurry.py",
        (
            "shares are rounded down",
            "received = np.rint(share * pools).astype(np.int64)\n    if",
            "received = np.floor(share * pools).astype(np.int64)\n    if",
        ),
        (
            "a task stays with too much",
            "flow[np.diag_indices(len(pools))] = pools - received",
            "flow[np.diag_indices(len(pools))] = pools",
        ),
        (
            "others give in proportion to nothing",
            "ideal = np.ones((n, n)) - np.eye(n)",
            "ideal = np.triu(np.ones((n, n)), 1) + 0.01 * np.tril(np.ones((n, n)), -1)",
        ),
    ),
    *of(
        "cllab/data/_pixelmap.py",
        f"{FOLDER}/test_scenario_pixels.py {FOLDER}/test_scenario_oracles.py",
        ("clockwise", ".rotate(angle, resample", ".rotate(-angle, resample"),
        ("bilinear", "Image.Resampling.NEAREST, fillcolor=0", "Image.Resampling.BILINEAR, fillcolor=0"),
        ("the border is the first pixel", "            out *= inside\n", "            pass\n"),
    ),
    *of(
        "cllab/scenarios/_pixels.py",
        f"{FOLDER}/test_scenario_pixels.py {FOLDER}/test_scenario_oracles.py",
        (
            "one permutation for all",
            "return [torch.randperm(n_pixels, generator=generator) for _ in range(tasks)]",
            "return [torch.randperm(n_pixels, generator=generator)] * tasks",
        ),
        (
            "permutations do not depend on the seed",
            'derive(rng.seed, "scenario.permutations")',
            'derive(0, "scenario.permutations")',
        ),
        ("own samples although the same are asked for", "1 if same else tasks", "tasks"),
        ("the same samples although own are asked for", "1 if same else tasks", "1"),
        (
            "the first test images",
            '_drawn(len(dataset.test), samples, tasks, rng, "scenario.tested")',
            "[np.arange(samples or len(dataset.test)) for _ in range(tasks)]",
        ),
        ("samples are the first ones", "draw.permutation(n)[:samples]", "np.arange(n)[:samples]"),
    ),
    *of(
        "cllab/scenarios/permuted.py",
        f"{FOLDER}/test_scenario_pixels.py",
        (
            "the last task is left as it is",
            "as_is = t == 0 and config.first_identity",
            "as_is = t == config.tasks - 1 and config.first_identity",
        ),
        ("all tasks have the first permutation", "PixelMap(orders[t])", "PixelMap(orders[0])"),
    ),
    *of(
        "cllab/scenarios/rotated.py",
        f"{FOLDER}/test_scenario_pixels.py",
        (
            "angles all over the range",
            "config.min_angle + (t + float(u)) * step",
            "config.min_angle + float(u) * step * config.tasks",
        ),
        ("the middle of every part", "(t + float(u)) * step", "(t + 0.5) * step"),
        ("from zero", "config.min_angle + (t + float(u)) * step", "(t + float(u)) * step"),
        (
            "angles do not depend on the seed",
            'rng.numpy("scenario.angles").random(config.tasks)',
            "np.random.default_rng(0).random(config.tasks)",
        ),
    ),
    *of(
        "cllab/scenarios/base_half.py",
        f"{FOLDER}/test_scenario_class_tasks.py",
        (
            "tasks of equal size",
            "parts = half_parts(data.n_classes, config.tasks)",
            "from cllab.scenarios._parts import equal_parts\n        parts = equal_parts(data.n_classes, config.tasks)",
        ),
    ),
    *of(
        "cllab/scenarios/task_incremental.py",
        f"{FOLDER}/test_scenario_class_tasks.py",
        ("tasks are not named", "has_label=True", "has_label=False"),
        (
            "labels go on where the first part ended",
            "parts = [range(part.start - first, part.stop - first) for part in parts]",
            "parts = list(parts)",
        ),
        (
            "the first classes for either part",
            "data = Relabeled(dataset, order[first : parts[-1].stop])",
            "data = Relabeled(dataset, order[: parts[-1].stop - first])",
        ),
    ),
    *of(
        "cllab/scenarios/_units.py",
        f"{FOLDER}/test_scenario_sessions.py",
        (
            "another seed of the orders",
            "np.random.RandomState(1), list(items)",
            "np.random.RandomState(2), list(items)",
        ),
        ("every order is shuffled once", "for _ in range(order + 1)", "for _ in range(1)"),
        ("one shuffle too few", "for _ in range(order + 1)", "for _ in range(order)"),
        ("neighbors come first, not one of each category", "list(range(0, n_classes, stride))", "list(range(first))"),
        ("halves are rounded down", "half = max(1, math.ceil(len(own) / 2))", "half = max(1, len(own) // 2 - 1)"),
        (
            "the first task varies too",
            "for group in (base, *shuffled(rest, order))",
            "for group in shuffled([base, *rest], order)",
        ),
        ("the first classes do not come back", "for part in (base[:half], base[half:])", "for part in ()"),
        ("their first session comes twice", "if has[c, s] and s != begun[c]]", "if has[c, s]]"),
        (
            "the tasks vary with the order",
            "draw = np.random.RandomState(0)\n    others",
            "draw = np.random.RandomState(order)\n    others",
        ),
        ("new classes come at the very end too", "INTRODUCED = 0.86", "INTRODUCED = 1.0"),
        (
            "new classes come at once",
            "set(draw.permutation(early)[: len(waiting)].tolist())",
            "set(range(len(waiting)))",
        ),
        (
            "classes go on alike, however much is left",
            "for c in begun for _ in queues[c]]",
            "for c in begun if queues[c]]",
        ),
        ("sessions come from the end", "units.append((c, queues[c].pop(0)))", "units.append((c, queues[c].pop()))"),
        ("seed 2 is the first order", "(seed - 1) % MOST_ORDERS", "(seed - 2) % MOST_ORDERS"),
        (
            "an order that is asked for follows the seed",
            'if int(config["order"]) < 0 else order + 1',
            "if True else order + 1",
        ),
        (
            "labels count as the dataset counts",
            "seen.update(dict.fromkeys(sorted({c for c, _ in units})))",
            "seen = dict.fromkeys(sorted({*seen, *(c for c, _ in units)}))",
        ),
    ),
    *of(
        "cllab/scenarios/_session_stream.py",
        f"{FOLDER}/test_scenario_sessions.py",
        ("a session of the wrong number is tested", "there & (taken == s)", "there & (taken == s + 1)"),
        (
            "all images of a class in every unit",
            "np.diff(labels[order]) | np.diff(taken[order])",
            "np.diff(labels[order]) | np.diff(labels[order])",
        ),
    ),
    *of(
        "cllab/data/mnist_nic.py",
        "tests/data/test_sessions.py",
        ("all sessions show the same images", "pool[place * each : (place + 1) * each]", "pool[:each]"),
        ("the angle of the session before", "angles[s])(split", "angles[s - 1])(split"),
        ("angles at distances of one session too many", "/ (SESSIONS - 1)", "/ SESSIONS"),
        ("other sessions are tested", "[s - 1 for s in TESTED]", "[s for s in TESTED]"),
    ),
    *of(
        "cllab/data/cifar100_nic_b.py",
        "tests/data/test_sessions.py",
        (
            "sessions in the order of the images",
            "draw.permutation((labels[rows] == c).nonzero().flatten().numpy())",
            "(labels[rows] == c).nonzero().flatten().numpy()",
        ),
        ("the same half aside", "torch.where(mapping < 0,", "torch.where(mapping >= 0,"),
    ),
    *of(
        "cllab/data/base.py",
        "tests/data/test_sessions.py",
        (
            "held-out images have the session of others",
            "test=taken[tested.cpu()])",
            "test=taken[kept.cpu()][: len(tested)])",
        ),
    ),
    *of(
        "cllab/data/core50.py",
        "tests/data/test_core50.py",
        ("every twentieth by number, not by path", "set(sorted(tested)[::REDUCED])", "set(tested[::REDUCED])"),
        ("labels from 1", 'int(name.split("/")[1][1:]) - 1', 'int(name.split("/")[1][1:]) % OBJECTS'),
        (
            "sessions 4, 8 and 11 are tested",
            "OBJECTS, SESSIONS, TESTED = 50, 11, (3, 7, 10)",
            "OBJECTS, SESSIONS, TESTED = 50, 11, (4, 8, 11)",
        ),
    ),
]
