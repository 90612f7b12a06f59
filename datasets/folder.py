"""A person's own images: ``folder:PATH``, whole or, with ``crop=64``, cut into tiles.

Files with the suffixes .avif .bmp .gif .j2k .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp (in upper or
lower case) are images, in the order of their names. Hidden files (.DS_Store) are ignored; so are files with any other
suffix (.txt), which a note counts. Image formats that cannot be read (.heic, .jxl, .dng and the like) are refused, so
that no image is overlooked.

The EXIF rotation is applied; palettes, CMYK and YCbCr become RGB; gray stays one channel. Refused, with the file's name
and what would be allowed, are: an alpha channel (unless ``alpha`` says how), more than 8 bits per sample (``depth16``),
several frames (``frames``), damaged files, images of more than 89 megapixels, and images with a side smaller than the
crop. ``refused=skip`` leaves such files out and lists them in the image set's ``notes``; it decodes every file when the
folder is opened. Otherwise opening reads only headers, and damage further in is found when the chosen images are
fingerprinted, before anything is measured.

Tiles do not overlap; they run row by row from the top left corner, and a note says how much of the images fills no
tile. Without ``crop`` images may differ in shape; they are measured in groups of one shape.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

import codecbench as cb
from codecbench.files.images import OTHER_IMAGE_SUFFIXES, SUFFIXES, Rules, image_shape, read_image

CACHE_BYTES = 1 << 26
"""Of decoded images that an opened folder keeps, since every codec point reads the same ones again."""


@cb.register_dataset
@dataclass(frozen=True)
class Folder(cb.Dataset):
    """The images of a folder, (N, H, W, 1) or (N, H, W, 3) uint8 for each group of one shape."""

    path: str = cb.setting("", literal=True, positional=True, help="the folder; give it as folder:PATH")
    crop: int = cb.setting(0, low=0, high=16_384, help="side of the tiles to cut; 0 takes whole images")
    recursive: bool = cb.setting(False, help="also read subfolders")
    alpha: str = cb.setting("refuse", choices=("refuse", "drop", "white", "black"), help="what to do with alpha")
    depth16: str = cb.setting("refuse", choices=("refuse", "scale"), help="what to do with 16-bit samples")
    frames: str = cb.setting("refuse", choices=("refuse", "first"), help="what to do with several frames")
    refused: str = cb.setting("error", choices=("error", "skip"), help="whether a refused file is an error or skipped")

    def status(self, data_dir: Path) -> cb.DatasetStatus:
        """Counts files by their names and opens none; the number of tiles is then not known."""
        if not self.path:
            return cb.DatasetStatus(False, note="a folder of your own: folder:PATH")
        try:
            files, _ = self._files()
        except cb.DatasetError as error:
            return cb.DatasetStatus(False, note=str(error))
        return cb.DatasetStatus(bool(files), None if self.crop else len(files), note=f"{len(files)} image files")

    def load(self, data_dir: Path) -> cb.ImageSet:
        """Opens the folder and reads the images' headers."""
        files, notes = self._files()
        rules = Rules(self.alpha, self.depth16, self.frames)
        taken: list[tuple[Path, cb.Shape]] = []
        left_out: list[str] = []
        for file in files:
            try:
                taken.append((file, self._shape(file, rules)))
            except cb.DatasetError as error:
                if self.refused == "error":
                    raise cb.DatasetError(f"folder: {error}; refused=skip leaves such files out") from error
                left_out.append(str(error))
        if left_out:
            notes = [f"{len(left_out)} of {len(files)} files left out (refused=skip)", *left_out, *notes]
        if not taken:
            why = left_out[0] if left_out else f"image files end in {', '.join(sorted(SUFFIXES))}"
            raise cb.DatasetError(f"folder: no image to measure in {self.path}; {why}")
        return FolderImages(taken, self.crop, rules, notes)

    def _shape(self, file: Path, rules: Rules) -> cb.Shape:
        if file.suffix.lower() in OTHER_IMAGE_SUFFIXES:
            allowed = ", ".join(sorted(SUFFIXES))
            raise cb.DatasetError(f"{file} is in a format that is not read; allowed: {allowed}")
        shape = image_shape(file, rules)
        if min(shape[:2]) < self.crop:
            size = f"{shape[0]}×{shape[1]}"
            raise cb.DatasetError(f"{file} is {size} (height×width), smaller than crop={self.crop}")
        if self.refused == "skip":
            read_image(file, rules)
        return shape

    def _files(self) -> tuple[list[Path], list[str]]:
        """The image files in order, and notes about other files."""
        if not self.path:
            raise cb.DatasetError("folder: which one? write folder:PATH")
        root = Path(self.path).expanduser()
        if not root.is_dir():
            what = "is a file, not a folder" if root.exists() else "does not exist"
            raise cb.DatasetError(f"folder: {self.path} {what}")
        try:
            found = root.rglob("*") if self.recursive else root.iterdir()
            entries = sorted((p for p in found if not _hidden(p, root)), key=lambda p: p.as_posix())
            folders = {p for p in entries if p.is_dir()}
        except OSError as error:
            raise cb.DatasetError(f"folder: {self.path} cannot be read ({error.strerror})") from error
        files: list[Path] = []
        ignored: Counter[str] = Counter()
        for entry in entries:
            if entry.suffix.lower() in SUFFIXES | OTHER_IMAGE_SUFFIXES and entry not in folders:
                files.append(entry)
            elif entry not in folders:
                ignored[entry.suffix.lower() or "no suffix"] += 1
        notes = []
        if ignored:
            kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(ignored.items()))
            notes.append(f"files that are not images were ignored: {kinds}")
        if folders and not self.recursive:
            notes.append(f"{len(folders)} subfolders were not read; recursive=true reads them")
        return files, notes


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


class FolderImages(cb.ImageSet):
    """Images or, if ``crop`` is the side of tiles and not 0, tiles of files with their shapes; decoded when read."""

    def __init__(self, files: list[tuple[Path, cb.Shape]], crop: int, rules: Rules, notes: list[str]):
        self.files, self.crop, self.rules, self.notes = files, crop, rules, list(notes)
        tiles = [(h // crop) * (w // crop) if crop else 1 for _, (h, w, _) in files]
        self._ends = np.array(list(accumulate(tiles)))
        self._cache: OrderedDict[int, cb.Images] = OrderedDict()
        self._cached_bytes = 0
        total = sum(h * w for _, (h, w, _) in files)
        if crop and (used := sum(tiles) * crop * crop) < total:
            self.notes.append(f"crop={crop} uses {used / total:.1%} of the pixels; the margins fill no tile")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def shape(self, index: int) -> cb.Shape:
        """Height, width and channels; differs from image to image."""
        height, width, channels = self.files[self.place(index)[0]][1]
        return (self.crop, self.crop, channels) if self.crop else (height, width, channels)

    def place(self, index: int) -> tuple[int, int]:
        """Which file an image comes from, and which tile of it."""
        if not 0 <= index < len(self):
            raise IndexError(f"the folder has images 0 to {len(self) - 1}, not {index}")
        file = int(np.searchsorted(self._ends, index, side="right"))
        return file, index - (int(self._ends[file - 1]) if file else 0)

    def read(self, indices: Sequence[int]) -> cb.Images:
        """Reads images or tiles of one shape, (len(indices), H, W, C); ``ValueError`` if they differ in shape."""
        shapes = {self.shape(int(index)) for index in indices}
        if len(shapes) != 1:
            raise ValueError(f"images of one shape can be read at once, not {sorted(shapes)}")
        block = np.empty((len(indices), *shapes.pop()), np.uint8)
        for position, index in enumerate(indices):
            file, tile = self.place(int(index))
            pixels = self._pixels(file)
            if self.crop:
                row, column = divmod(tile, pixels.shape[1] // self.crop)
                top, left = row * self.crop, column * self.crop
                pixels = pixels[top : top + self.crop, left : left + self.crop]
            block[position] = pixels
        return block

    def _pixels(self, file: int) -> cb.Images:
        """A file's pixels, from memory if they were read recently."""
        if file in self._cache:
            self._cache.move_to_end(file)
            return self._cache[file]
        path, shape = self.files[file]
        try:
            pixels = read_image(path, self.rules)
        except cb.DatasetError as error:
            raise cb.DatasetError(f"folder: {error}; refused=skip leaves such files out") from error
        if pixels.shape != shape:
            raise cb.DatasetError(f"folder: {path} changed since the folder was opened")
        self._cache[file] = pixels
        self._cached_bytes += pixels.nbytes
        while len(self._cache) > 1 and self._cached_bytes > CACHE_BYTES:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return pixels
