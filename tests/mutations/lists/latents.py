"""Base stages, frozen fronts, and latents in the place of images."""

from tests.mutations.mutant import of

LATENTS = "tests/engine/test_latents.py"
MODELS = "tests/models/test_models.py"

MUTANTS = [
    *of(
        "cllab/engine/latents.py",
        LATENTS,
        ("one bulk too far", "kept[i * bulk : i * bulk + len(part)]", "kept[: len(part)]"),
        ("every task sees the images alike", "if split.transform is not None:", "if False:"),
        (
            "who a sample is gets lost",
            "replace(split, images=seen, index=index, ids=split.sample_ids(), transform=None)",
            "replace(split, images=seen, index=index, ids=None, transform=None)",
        ),
        ("encoded once a split", "if store is None:", "if True:"),
        ("sets that stand apart are left in pixels", "for t in stream.apart)", "for t in stream.apart[:0])"),
        ("limit", "self.nbytes > limit", "self.nbytes < 0"),
    ),
    *of(
        "cllab/engine/latent_cache.py",
        "tests/engine/test_latent_cache.py",
        ("weights do not matter", "found.update(value.detach().cpu().contiguous().numpy().tobytes())", "pass"),
        ("images do not matter", "found.update(images.fetch(part).cpu().contiguous().numpy().data)", "pass"),
        ("precision does not matter", "+ str(dtype).encode()", ""),
        ("how they are seen does not matter", "+ seen.encode()", ""),
        ("a half-written file is taken", "if array.shape != shape or", "if"),
        ("nobody waits", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB"),
    ),
    *of(
        "cllab/engine/networks.py",
        "tests/engine/test_latent_cache.py",
        ("a front of one run is kept", 'or config.base.on != "none":', "or False:"),
    ),
    *of(
        "cllab/engine/networks.py",
        LATENTS,
        (
            "the front is not taken over",
            "self.front.load_state_dict({k: own[k] for k in self.front.state_dict()})",
            "pass",
        ),
        ("what lies above is taken over too", "(whole or self._below(k, network))", "True"),
        (
            "nothing above is taken over of the first task",
            "(whole or self._below(k, network))",
            "self._below(k, network)",
        ),
        ("the head belongs to the backbone", 'return key.startswith("backbone.")', "return True"),
        ("every network has a front of its own", "network.freeze(self.front)", "network.freeze()"),
        ("the front is not saved", "return None if self.front is None else self.front.state_dict()", "return None"),
    ),
    *of(
        "cllab/engine/base_stage.py",
        LATENTS,
        ("the stream's table", "self.settings.training(session.config.train)", "session.config.train"),
        ("all classes", "(split.labels < n_classes)", "(split.labels >= 0)"),
        (
            "one class more",
            "range(n_classes or max(1, stream.n_classes // 2))",
            "range((n_classes or max(1, stream.n_classes // 2)) + 1)",
        ),
        (
            "the first task is learned twice",
            'return self.settings.on == "first-task" and task.index == 0',
            "return False",
        ),
        (
            "all tasks are known",
            'self.settings.on == "first-task" and task.index == 0',
            'self.settings.on == "first-task"',
        ),
        ("trained again when it is over", 'self.is_over = bool(state["over"])', "self.is_over = False"),
        ("begins again", 'self.loop.load_state(state["loop"])', "pass"),
        ("other weights", 'learner.model.load_state_dict(state["model"]["__network__"])', "pass"),
    ),
    *of(
        "cllab/engine/run.py",
        LATENTS,
        ("a base stage is not saved", "(self.loop.whole or inside_base)", "self.loop.whole"),
        ("nothing is offered", "task.train if known and piece.split is None else piece.split", "piece.split"),
        ("latents are left out at resume", "self._take_latents(self.latents, again=True)", "pass"),
    ),
    *of(
        "cllab/engine/said.py",
        LATENTS,
        ("pictures as they were stored", "out[of_it] = task.train.transform(out[of_it])", "pass"),
    ),
    *of(
        "cllab/memory/ring.py",
        LATENTS,
        ("both parts hold the same", "            end = start\n", "            pass\n"),
        ("nothing is kept apart", 'for name in ("held", "replay"):', 'for name in ("replay",):'),
    ),
    *of(
        "cllab/models/base.py",
        MODELS,
        ("a frozen front is told apart from none", 'start="" if self._frozen else self.at', "start=self.at"),
        ("it goes on learning", "requires_grad_(False).eval(),)", "eval(),)"),
        ("it is trained", ".requires_grad_(False).eval(),)", ".requires_grad_(False).train(),)"),
    ),
    *of(
        "cllab/settings/tables.py",
        "tests/settings/test_fronts.py",
        ("later keys count", "for table, usual in LATER.items():", "for table, usual in {}.items():"),
        ("no key counts", "key in idle or values[key] == value or", "True or"),
        ("latents count where the front learns", '{"latents"} if values.get("front") == "learn" else set()', "set()"),
    ),
]
