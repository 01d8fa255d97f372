"""Datasets of image files that may be larger than what one wants decoded: a budget decides."""

from __future__ import annotations

from typing import Any

from cllab.data import _cache
from cllab.data._cache import Content, Progress
from cllab.data.source import DatasetSource, Place

IMAGES = frozenset({"png", "jpg", "jpeg", "bmp", "webp", "gif", "tif", "tiff", "ppm", "pgm"})
BUDGET_HELP = "MiB of decoded pixels up to which they are cached; larger data are decoded as they are read"


class LargeSource(DatasetSource):
    """Decoded once into the cache while the pixels fit `memory_budget` of the config; beyond it, as they are read.

    Abstract.
    """

    suffixes = IMAGES

    @classmethod
    def content(cls, place: Place, config: Any, progress: Progress) -> Content:
        """From the cache or through it; beyond the budget, the files themselves."""
        listing = cls._scan(place)
        key = cls._key(place, listing, config)
        content = _cache.load(cls.name(), key)
        if content is None or sum(half.nbytes for half in content.halves) > config.memory_budget << 20:
            content = cls.read(place, listing, config)
            if sum(half.nbytes for half in content.halves) <= config.memory_budget << 20:
                content = _cache.store(cls.name(), key, cls._origin(place, config), content, progress)
        return content
