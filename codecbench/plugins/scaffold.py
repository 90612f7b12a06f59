"""Writes the file of a new codec, which passes every check as it is."""

from __future__ import annotations

import keyword
import os
import re
from pathlib import Path

from codecbench.errors import UsageError
from codecbench.plugins.registry import CODECS
from codecbench.text import one_line

TEMPLATES = Path(__file__).parent / "templates"
KINDS = {"per-image": "codec_per_image.py", "torch": "codec_torch.py"}
"""What a new codec is made from, by kind; the files are whole codecs, checked like all code of the project."""


def write_new_codec(name: str, kind: str, folder: str | os.PathLike[str]) -> Path:
    """Writes a codec of a new name into a folder, which is made if it is missing, and returns its file.

    ``kind`` is ``per-image``, one image at a time with NumPy, or ``torch``, batches on a CPU or a GPU. ``UsageError``
    for a name that is no codec's or is taken, another kind, or a folder that cannot be written.
    """
    if kind not in KINDS:
        raise UsageError(f"kind {kind!r} is not allowed; allowed: {', '.join(KINDS)}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name == "all":
        what = "letters, digits and _, beginning with a letter, and neither a word of Python's nor 'all'"
        raise UsageError(f"{name!r} is not allowed as a codec's name; allowed: {what}")
    origins = CODECS.origins()
    if name in origins:
        raise UsageError(f"a codec called {name!r} is there already: {origins[name]}")
    file = Path(folder) / f"{name}.py"
    source = (TEMPLATES / KINDS[kind]).read_text(encoding="utf-8")
    class_name = "".join(part[:1].upper() + part[1:] for part in name.split("_"))  # TinyDct for tiny_dct
    source = source.replace("NewCodec", class_name).replace('"""NAME: ', f'"""{name}: ', 1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(source)
    except FileExistsError as error:
        at_fault = Path(error.filename or file)
        what = "is there already, and is left as it is" if at_fault == file else "is no folder"
        raise UsageError(f"{at_fault} {what}") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {one_line(error)}") from error
    return file
