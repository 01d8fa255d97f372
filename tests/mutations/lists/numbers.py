"""Metrics, and the accuracies that they are computed from."""

from tests.mutations.mutant import of

MUTANTS = [
    *of(
        "cllab/metrics.py",
        "tests/test_metrics.py",
        ("accuracy of the first task instead of the last", "return float(seen[-1])", "return float(seen[0])"),
        ("the average is a median", "return float(np.mean(seen))", "return float(np.median(seen))"),
        ("ACC of the first row", "    return _mean(r[-1])", "    return _mean(r[0])"),
        ("the best so far includes the last row", "earlier = r[j:last, j]", "earlier = r[j : last + 1, j]"),
        ("the best so far begins before the task was learned", "earlier = r[j:last, j]", "earlier = r[:last, j]"),
        ("forgetting from the mean of earlier rows", "np.nanmax(earlier) - r", "np.nanmean(earlier) - r"),
        ("forgetting with the other sign", "np.nanmax(earlier) - r[last, j]", "r[last, j] - np.nanmax(earlier)"),
        ("forgetting from the row before, not from the last", "- r[last, j]", "- r[last - 1, j]"),
        ("any row: includes the last task", "earlier, last = r[:-1, :-1], r[-1, :-1]", "earlier, last = r[:-1], r[-1]"),
        (
            "any row: the worst instead of the best",
            "np.nanmax(earlier[:, known], axis=0)",
            "np.nanmin(earlier[:, known], axis=0)",
        ),
        (
            "any row: missing entries count",
            "known = np.isfinite(earlier).any(axis=0) & np.isfinite(last)",
            "known = np.isfinite(earlier).any(axis=0)",
        ),
        ("BWT against the first row", "_mean(r[-1, :-1] - np.diag(r)[:-1])", "_mean(r[-1, :-1] - r[0, :-1])"),
        ("BWT with the other sign", "_mean(r[-1, :-1] - np.diag(r)[:-1])", "_mean(np.diag(r)[:-1] - r[-1, :-1])"),
        ("BWT counts the last task", "_mean(r[-1, :-1] - np.diag(r)[:-1])", "_mean(r[-1] - np.diag(r))"),
        (
            "FWT after the task was learned",
            "return _mean(np.array([r[j - 1, j] - b[j]",
            "return _mean(np.array([r[j, j] - b[j]",
        ),
        (
            "FWT against the baseline of the task before",
            "return _mean(np.array([r[j - 1, j] - b[j]",
            "return _mean(np.array([r[j - 1, j] - b[j - 1]",
        ),
        ("FWT without the baseline", "return _mean(np.array([r[j - 1, j] - b[j]", "return _mean(np.array([r[j - 1, j]"),
        ("GEM's BWT leaves the last task out", "np.mean(r[-1] - np.diag(r))", "np.mean(r[-1, :-1] - np.diag(r)[:-1])"),
        ("GEM's FWT divided by one less", "/ len(r)) if len(r)", "/ (len(r) - 1)) if len(r)"),
        ("BCL's FWT against the last row", "forward_transfer_gem(r, r[0])", "forward_transfer_gem(r, r[-1])"),
        ("LA of the last row", "_mean(np.diag(np.asarray(r, float)))", "_mean(np.asarray(r, float)[-1])"),
        ("intransigence with the other sign", "return joint - last", "return last - joint"),
        ("area without its span", "np.trapezoid(y, x) / span", "np.trapezoid(y, x)"),
        ("area from zero", "span = x[-1] - x[0]", "span = x[-1]"),
        ("area as a plain mean", "float(np.trapezoid(y, x) / span)", "float(y.mean())"),
        ("missing entries count as zero", "values = values[np.isfinite(values)]", "values = np.nan_to_num(values)"),
        ("missing accuracies are zero", "r = np.full((n_tasks, n_tasks), np.nan)", "r = np.zeros((n_tasks, n_tasks))"),
        (
            "a part of the tasks is measured as a whole",
            "matrix(rows, n_tasks)[: len(rows), : len(rows)]",
            "matrix(rows, n_tasks)",
        ),
    ),
    *of(
        "cllab/engine/evaluation.py",
        "tests/engine/test_evaluation.py",
        ("future tasks count as seen", "learned = set(self._learned(t))", "learned = set(which)"),
        ("tasks that share their classes all count", "if shared:  #", "if False:  #"),
        ("tasks whose classes were partly seen", "known.issuperset(task.classes)", "known.intersection(task.classes)"),
        (
            "the mean over tasks instead of samples",
            "sum(per_class_hits) / total if total else None",
            "sum(h / len(stream.tasks[i].test) for i, h in zip(which, hits, strict=True)) / len(which)",
        ),
        (
            "hits of other samples' classes",
            "hits_per_class.index_add_(0, labels, hit)",
            "hits_per_class.index_add_(0, labels.flip(0), hit)",
        ),
        ("in training mode", "with learner.bulk(), learner.passes", "with learner.passes"),
        ("a method is not told that it is evaluated", "            method.prepare_evaluation()\n", ""),
        ("the task is not named", "label = task.index if task.has_label else None", "label = None"),
        (
            "other tasks' classes compete although the task is named",
            "            if own is not None:\n",
            "            if False:\n",
        ),
        (
            "without the name the task's own classes compete",
            "open_hits.append(self._hit(unnamed[:, :n_seen], y))",
            "open_hits.append(self._hit(scores[:, own], y - own[0]) if own is not None else y[:, 0] < 0)",
        ),
        (
            "without the name classes compete that were not seen",
            "self._hit(unnamed[:, :n_seen], y)",
            "self._hit(unnamed, y)",
        ),
        (
            "without the name the method is told the task",
            "method.predict(x, None) if method.heeds_label else scores",
            "method.predict(x, label) if method.heeds_label else scores",
        ),
        ("the best instead of the k best", "k = min(self.top_k, scores.shape[1])", "k = 1"),
        (
            "a row of other tasks' sizes",
            "size = len(self._test(i, part))",
            "size = len(self._test(0, part))",
        ),
        (
            "not normalized where there is no room",
            "return learner.normalize(test.fetch(torch.arange(start, stop, device=test.device)))",
            "return test.fetch(torch.arange(start, stop, device=test.device)).float()",
        ),
        (
            "not normalized where there is room",
            "[learner.normalize(test.fetch(p)) for p in parts]",
            "[test.fetch(p).float() for p in parts]",
        ),
    ),
]
