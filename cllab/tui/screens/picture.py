"""One stored sample, as large as the terminal allows.

With the extra `[images]` the picture has the pixels of the terminal where it can show them; otherwise it is made of
half cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widget import Widget
from textual.widgets import Static

from cllab.tui.glyphs import sharp_pixels
from cllab.tui.screens.dialog import Dialog
from cllab.tui.widgets.chart import Chart, Part
from cllab.tui.widgets.pictures import Picture, half_cells, resize

if TYPE_CHECKING:
    from cllab.tui.app import CllabApp


class LargePicture(Chart, can_focus=False):
    """A picture out of half cells, whole pixels wide."""

    DEFAULT_CSS = (
        "LargePicture, LargePicture:focus { border: none; padding: 0; height: 1fr; width: 1fr; background: $surface; }"
    )

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self.picture = picture

    def draw(self, width: int, height: int) -> list[list[Part]]:
        h, w = self.picture.shape[:2]
        factor = max(1, min(width // max(1, w), 2 * height // max(1, h)))
        if factor == 1:
            # between whole sizes, as large as fits
            share = min(width / w, 2 * height / h)
            size = max(2, int(h * share) // 2 * 2), max(1, int(w * share))
        else:
            size = h * factor, w * factor
        rows = half_cells(resize(self.picture, *size), self.glyphs)
        left = " " * max(0, (width - size[1]) // 2)
        above = max(0, (height - len(rows)) // 2)
        return [[]] * above + [[(left, self.rich_style), *row] for row in rows]


class PictureScreen(Dialog[None]):
    """One picture and what is known about it.

    Args:
        picture: (h, w, 3) RGB.
        caption: a line below it.
    """

    CSS = """
    PictureScreen .dialog { width: 90%; height: 90%; padding: 0 1; }
    PictureScreen Static { height: auto; width: 1fr; text-align: center; color: $text-muted; }
    PictureScreen #frame { height: 1fr; align-horizontal: center; }
    PictureScreen #sharp { width: auto; height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,i,enter,q", "dismiss(None)", "Close", id="picture.close", key_display="esc")
    ]

    def __init__(self, picture: Picture, caption: str) -> None:
        super().__init__()
        self.picture, self.caption = picture, caption

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = "sample"
            box.border_subtitle = f"{self.picture.shape[1]}x{self.picture.shape[0]} as stored in the run folder"
            with Container(id="frame"):
                yield self._image()
            yield Static(self.caption, markup=False)

    def _image(self) -> Widget:
        wish = cast("CllabApp", self.app).settings.images
        if not self.app.is_headless and not self.app.is_web and sharp_pixels(wish):
            from PIL import Image
            from textual_image import widget as images

            kind = {"kitty": images.TGPImage, "sixel": images.SixelImage}.get(wish, images.Image)
            factor = max(1, 512 // max(self.picture.shape[:2]))
            whole = Image.fromarray(self.picture).resize(
                (self.picture.shape[1] * factor, self.picture.shape[0] * factor), Image.Resampling.NEAREST
            )
            return cast(Widget, kind(whole, id="sharp"))
        return LargePicture(self.picture)
