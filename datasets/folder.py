"""A person's own images: ``folder:PATH``, whole or, with ``crop=64``, cut into tiles.

Files with the suffixes .apng .avif .bmp .gif .j2c .j2k .jfi .jfif .jif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .pbm .pgm
.png .pnm .ppm .tif .tiff .webp (in upper or lower case) are images, in the order of their names. Hidden files
(.DS_Store) are ignored; so are files with any other suffix (.txt), which a note counts. Image formats that cannot be
read (.heic, .jxl, .dng and the like) are refused, so that no image is overlooked.

The EXIF rotation is applied; palettes, CMYK and YCbCr become RGB; gray stays one channel. Refused, with the file's name
and what would be allowed, are: an alpha channel (unless ``alpha`` says how), more than 8 bits per sample (``depth16``),
several frames (``frames``), damaged files, links to nothing, anything that is no regular file, images of more than 89
megapixels, and images with a side smaller than the crop. ``refused=skip`` leaves such files out and lists them in the
image set's ``notes``; it decodes every file when the folder is opened. Otherwise opening decodes nothing, and damage
further in is found when the chosen images are fingerprinted, before anything is measured.

A file that was compressed with loss flatters the codec that did it, which codes its own traces in few bits. A note says
how many of the chosen images are such files; ``downscale=2`` takes the traces away: every pixel is the mean of 2×2,
rounded to nearest (halves upwards), and what fills no square at the bottom and the right is cut off.

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
from codecbench.files.images import OTHER_IMAGE_SUFFIXES, SUFFIXES, Rules, read_header, read_image
from codecbench.fingerprint import fingerprint_pixels
from codecbench.text import count

CACHE_BYTES = 1 << 26
"""Of decoded images that an opened folder keeps, since every codec point reads the same ones again."""


@cb.register_dataset
@dataclass(frozen=True)
class Folder(cb.Dataset):
    """The images of a folder, (N, H, W, 1) or (N, H, W, 3) uint8 for each group of one shape."""

    path: str = cb.setting("", literal=True, positional=True, help="the folder; give it as folder:PATH")
    crop: int = cb.setting(0, low=0, high=16_384, help="side of the tiles to cut; 0 takes whole images")
    downscale: int = cb.setting(1, low=1, high=64, help="means of so many times so many pixels instead of single ones")
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
        taken: list[Original] = []
        left_out: list[str] = []
        for file in files:
            try:
                taken.append(self._original(file, rules))
            except cb.DatasetError as error:
                if self.refused == "error":
                    raise cb.DatasetError(f"folder: {error}; refused=skip leaves such files out") from error
                left_out.append(str(error))
        if left_out:
            notes = [f"{len(left_out)} of {len(files)} files left out (refused=skip)", *left_out, *notes]
        if not taken:
            why = left_out[0] if left_out else f"image files end in {', '.join(sorted(SUFFIXES))}"
            raise cb.DatasetError(f"folder: no image to measure in {self.path}; {why}")
        return FolderImages(taken, self.crop, self.downscale, rules, notes)

    def _original(self, file: Path, rules: Rules) -> Original:
        if file.suffix.lower() in OTHER_IMAGE_SUFFIXES:
            allowed = ", ".join(sorted(SUFFIXES))
            raise cb.DatasetError(f"{file} is in a format that is not read; allowed: {allowed}")
        header = read_header(file, rules)
        height, width, channels = header.shape
        shape = height // self.downscale, width // self.downscale, channels
        if min(shape[:2]) < max(self.crop, 1):
            least = f"crop={self.crop}" if self.downscale == 1 else f"{self.downscale * max(self.crop, 1)}"
            raise cb.DatasetError(f"{file} is {height}×{width} (height×width), smaller than {least}")
        if self.refused == "skip":
            read_image(file, rules)
        return Original(file, shape, header.lossy, header.icc)

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


def _means(pixels: cb.Images, side: int) -> cb.Images:
    """Means over squares of ``side`` × ``side`` pixels, rounded to nearest, halves upwards."""
    height, width, channels = pixels.shape[0] // side, pixels.shape[1] // side, pixels.shape[2]
    if side == 1:
        return pixels
    squares = pixels[: height * side, : width * side].reshape(height, side, width, side, channels)
    return ((squares.sum(axis=(1, 3), dtype=np.uint32) + side * side // 2) // (side * side)).astype(np.uint8)


@dataclass(frozen=True)
class Original:
    """A file, the shape of its image, the lossy format that it is in, and whether it has a colour profile."""

    path: Path
    shape: cb.Shape
    lossy: str
    profile: bool


class FolderImages(cb.ImageSet):
    """Images or, if ``crop`` is the side of tiles and not 0, tiles of files; decoded when read."""

    def __init__(self, files: list[Original], crop: int, downscale: int, rules: Rules, notes: list[str]):
        self.files, self.crop, self.downscale, self.rules, self.notes = files, crop, downscale, rules, list(notes)
        tiles = [(h // crop) * (w // crop) if crop else 1 for h, w, _ in (file.shape for file in files)]
        self._ends = np.array(list(accumulate(tiles)))
        self._cache: OrderedDict[int, cb.Images] = OrderedDict()
        self._cached_bytes = 0
        self._fingerprints: dict[int, str] = {}
        total = sum(file.shape[0] * file.shape[1] for file in files)
        if crop and (used := sum(tiles) * crop * crop) < total:
            self.notes.append(f"crop={crop} uses {used / total:.1%} of the pixels; the margins fill no tile")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def shape(self, index: int) -> cb.Shape:
        """Height, width and channels; differs from image to image."""
        height, width, channels = self.files[self.place(index)[0]].shape
        return (self.crop, self.crop, channels) if self.crop else (height, width, channels)

    def place(self, index: int) -> tuple[int, int]:
        """Which file an image comes from, and which tile of it."""
        if not 0 <= index < len(self):
            raise IndexError(f"the folder has images 0 to {len(self) - 1}, not {index}")
        file = int(np.searchsorted(self._ends, index, side="right"))
        return file, index - (int(self._ends[file - 1]) if file else 0)

    def about(self, indices: Sequence[int]) -> list[str]:
        """How many files were lossy, are twice there, or have a profile, of those that the images come from."""
        numbers = sorted({self.place(int(index))[0] for index in indices})
        files = [self.files[number] for number in numbers]
        lossy, notes = Counter(file.lossy for file in files if file.lossy), []
        if lossy and self.downscale == 1:
            kinds = ", ".join(lossy) if len(lossy) == 1 else ", ".join(f"{n} {kind}" for kind, n in lossy.items())
            notes.append(
                f"{sum(lossy.values())} of {len(files)} originals are lossy files ({kinds}): this flatters "
                f"{' and '.join(kind.lower().replace(' ', '') for kind in lossy)}; downscale=2 takes the traces away"
            )
        named: dict[str, list[str]] = {}
        for number, file in zip(numbers, files, strict=True):
            named.setdefault(self._fingerprints.get(number, str(number)), []).append(file.path.name)
        doubles = [" = ".join(names) for names in named.values() if len(names) > 1]
        if doubles:
            more = f" and {len(doubles) - 3} more" if len(doubles) > 3 else ""
            many = count(len(files) - len(named), "double")
            notes.append(f"{many} among {len(files)} images: {', '.join(doubles[:3])}{more}")
        if profiles := sum(file.profile for file in files):
            notes.append(f"{profiles} of {len(files)} originals have ICC profiles other than sRGB, which were ignored")
        return notes

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
        path = self.files[file].path
        try:
            pixels = _means(read_image(path, self.rules), self.downscale)
        except cb.DatasetError as error:
            raise cb.DatasetError(f"folder: {error}; refused=skip leaves such files out") from error
        if pixels.shape != self.files[file].shape:
            raise cb.DatasetError(f"folder: {path} changed since the folder was opened")
        self._fingerprints.setdefault(file, fingerprint_pixels([pixels[np.newaxis]]))
        self._cache[file] = pixels
        self._cached_bytes += pixels.nbytes
        while len(self._cache) > 1 and self._cached_bytes > CACHE_BYTES:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return pixels
