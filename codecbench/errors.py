"""Every exception that codecbench raises on purpose.

    CodecbenchError
    ├── UsageError                 the request cannot be carried out as written (exit code 2)
    │   ├── UnknownNameError       no codec, dataset, setting or metric of that name
    │   ├── SpecError              a spec string that does not parse
    │   ├── SettingError           a setting's value is of the wrong type or out of range
    │   └── DatasetError           the data set is missing, damaged or holds images that are refused
    ├── PluginError                a plugin file cannot be imported, or two plugins share a name
    ├── CodecError                 a codec did not do what was asked of it
    │   ├── BitstreamError         bytes that are no stream of this codec
    │   ├── UnsupportedImageError  an image that this codec does not take
    │   └── ContractError          a codec broke its contract: wrong type or shape, or lossy though "lossless"
    ├── WeightsError               weights missing, altered or made for another network
    ├── TrainingError              training cannot go on (missing data, a loss that is not finite)
    ├── ClusterError               a cluster that does not answer, has no workers, or has some that differ
    └── StoreError                 a run folder that cannot be read or written

Every message is one line that says what was wrong and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CodecbenchError(Exception):
    """Root of everything that codecbench raises on purpose."""


class UsageError(CodecbenchError):
    """What was asked for cannot be done as it was written; the command line exits with code 2."""


class UnknownNameError(UsageError):
    """No such name; the message lists the known ones and the nearest.

    Args:
        kind: what was looked for, for example ``"codec"``.
        name: the name that was given.
        known: the names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = difflib.get_close_matches(name.lower(), self.known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        if len(words := name.split()) > 1:
            hint = f"; a list is written with commas: {','.join(words)};"
        elif kind == "dataset" and not near:
            hint = r"; a folder of images is written folder:PATH, and \, stands for a comma in its name;"
        super().__init__(f"unknown {kind} {name!r}{hint} known: {', '.join(self.known) or 'none'}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.known)  # pickle would hand the message to __init__


class SpecError(UsageError):
    """A spec string that does not follow the grammar (see ``codecbench.plan.specs``)."""


class SettingError(UsageError):
    """A setting's value has the wrong type or lies outside its bounds."""


class DatasetError(UsageError):
    """A data set is not on disk, is damaged, or holds images that its settings refuse."""


class PluginError(CodecbenchError):
    """A plugin cannot be imported or registered."""


class CodecError(CodecbenchError):
    """A codec did not do what was asked of it."""


class BitstreamError(CodecError):
    """The bytes are empty, cut short, altered, or not a stream of this codec."""


class UnsupportedImageError(CodecError):
    """The codec does not take images of this shape."""


class ContractError(CodecError):
    """A codec returned the wrong type or shape, or altered pixels though it claims to be lossless."""


class WeightsError(CodecbenchError):
    """A weight file is missing, altered, unsafe to load, or belongs to another network."""


class TrainingError(CodecbenchError):
    """Training cannot begin or go on."""


class ClusterError(CodecbenchError):
    """A cluster's scheduler does not answer, or its workers are none, or not what the run was planned with."""


class StoreError(CodecbenchError):
    """A run folder cannot be read or written, or belongs to another version."""
