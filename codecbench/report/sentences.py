"""Claims put into words: sentences for the answer that a report begins with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from codecbench.analysis import claims
from codecbench.analysis.best import BestRate, eligible
from codecbench.analysis.claims import Claim, Saving
from codecbench.analysis.points import TARGET_DB, short_settings, varying
from codecbench.store import weights as weightfiles
from codecbench.text import format_file_size, format_seconds, format_significant, format_span

SPACE = "\N{NO-BREAK SPACE}"


def group_by_winners(found: Sequence[Claim]) -> list[list[Claim]]:
    """Claims at neighbouring qualities with the same winners, all or none of them lossless, alone, and certain."""
    shared = itertools.groupby(
        found, lambda claim: (set(claim.winners), claim.first.exact, len(claim.rates) == 1, claim.certain)
    )
    return [list(group) for _, group in shared]


def shown(group: Sequence[Claim]) -> Claim:
    """The claim of a group whose numbers the sentence has: that nearest to the usual quality."""
    return min(group, key=lambda claim: abs(claim.quality_db - TARGET_DB))


def region(group: Sequence[Claim]) -> str:
    """The qualities of a group in words: ``at 25 and 30 dB``, ``from 25 to 40 dB``."""
    levels = [f"{claim.quality_db:g}" for claim in group]
    if len(levels) > 2:
        return f"from {levels[0]} to {levels[-1]}{SPACE}dB"
    return f"at {' and '.join(levels)}{SPACE}dB"


def at_quality(group: Sequence[Claim], points: pd.DataFrame) -> str:
    """By how much the winners of a group are ahead, at the quality nearest to the usual one."""
    claim = shown(group)
    first = claim.first
    at = capital(_quality(claim))
    if len(claim.rates) == 1:
        alone = "no other untrained codec reaches this quality"
        return f"{at} `{first.codec}`{_variant(first, points)} needs {size_of(first)}; {alone}."
    if len(claim.winners) > 1:
        start = f"{at} {_level(claim)}"
        start += f"; `{first.codec}` needs" if claim.loser or claim.anchor else ""
    else:
        start = f"{at} `{first.codec}`{_variant(first, points)} needs {size_of(first)}"
    ahead = []
    if claim.loser:
        loser = claim.rates[claim.loser]
        word = "" if claim.loser == claim.anchor else "the runner-up " if len(claim.winners) == 1 else "the next best "
        ahead.append(
            _fewer(claim.saving)
            + f" fewer than {word}`{loser.codec}`{' (lossless)' * (loser.exact and not first.exact)}"
        )
    if claim.anchor and claim.against_anchor is not None:
        ahead.append(f"{_fewer(claim.against_anchor)} fewer than `{claim.anchor}`")
    link = " " if len(claim.winners) > 1 else ", "
    return start + (link + " and ".join(ahead) if ahead else "") + "."


def lossless_instead(groups: Sequence[Sequence[Claim]]) -> list[str]:
    """That from some quality on nothing lossy is worth its loss."""
    exact = [group for group in groups if group[0].first.exact and len(group[0].winners) == 1]
    if not exact or not exact[0][0].certain or len(exact[0][0].rates) == 1:
        return []
    first = exact[0][0].first
    return [
        f"{capital(region(exact[0]))} no lossy files are smaller than the lossless ones of `{first.codec}`, "
        f"{size_of(first)}: there is nothing to gain by losing pixels."
    ]


def speed(points: pd.DataFrame, claim: Claim) -> list[str]:
    """How long the winner takes, beside the codec that others are compared with."""
    first = _times(points, claim.first)
    if first is None:
        return []
    other_name = claim.anchor or claim.loser
    text = (
        f"**Speed:** `{claim.first.codec}` encodes an image in {_time(first['encode_s'])} and decodes it in "
        f"{_time(first['decode_s'])}"
    )
    rough = bool(first["unsteady"])
    other = _times(points, claim.rates[other_name]) if other_name and other_name != claim.first.codec else None
    if other is not None and other["timed_on"] == first["timed_on"] and other["threads"] == first["threads"]:
        rough |= bool(other["unsteady"])
        text += f"; `{other_name}` takes {_time(other['encode_s'])} and {_time(other['decode_s'])}"
    return [text + (" (rough: the machine was not quiet)." if rough else ".")]


def _times(points: pd.DataFrame, offer: BestRate) -> pd.Series | None:
    row = points[(points["codec"] == offer.codec) & (points["settings"] == offer.settings)]
    if row.empty or not (row["encode_s"].iloc[0] > 0 and row["decode_s"].iloc[0] > 0):
        return None
    return row.iloc[0]


def lossless(claim: Claim | None, points: pd.DataFrame) -> list[str]:
    """Who restores every pixel with the fewest bytes."""
    if claim is None:
        return []
    first = claim.first
    if len(claim.rates) == 1:
        return [f"**Lossless:** only `{first.codec}` restores every pixel, with {size_of(first)}."]
    if len(claim.winners) > 1:
        return [f"**Lossless:** {_level(claim)}."]
    text = f"**Lossless:** `{first.codec}` is smallest with {size_of(first)}"
    if claim.loser:
        text += f", {_fewer(claim.saving)} fewer than the next, `{claim.loser}`"
    if (times := _times(points, first)) is not None:
        text += (
            f"; it takes {_time(times['encode_s'])} to encode an image and "
            f"{_time(times['decode_s'])} to decode it" + (" (rough)" if times["unsteady"] else "")
        )
    return [text + "."]


def learned(codecs: Mapping[str, Any], found: Sequence[Claim], points: pd.DataFrame) -> list[str]:
    """Where learned codecs stand: each at its own quality against the best that needs no training."""
    if not found:
        return []
    claim = found[0]
    own, other = claim.rates.values()
    ahead = claims.saving(own, other)
    verdict = f"{_fewer(ahead)} fewer" if ahead.percent > 0 else f"{_percent(100 * (own.bits / other.bits - 1))} more"
    verdict += f" (interval {ahead.unknown})" if ahead.unknown else ""
    weights = weightfiles.weight_bytes(codecs[own.codec], own.settings)
    known = math.isfinite(weights)
    images = claims.pays_from(own, other, weights) if known and claim.winners == (own.codec,) else None
    pays = f"; counting them, it is smaller for {format_significant(images)} images or more" if images else ""
    text = (
        f"**Learned:** `{own.codec}`{_variant(own, points)} reaches {claim.quality_db:.1f}{SPACE}dB with "
        f"{size_of(own)}, {verdict if claim.loser else 'about as many'} {'than' if claim.loser else 'as'} the "
        f"{format_significant(other.num_bytes)} of `{other.codec}`, the smallest untrained codec, for "
        "at least that quality. Its weights"
        f"{f' ({format_file_size(weights)})' if known else ''}, which a decoder needs as well, are not counted{pays}."
    )
    better = [one.anchor for one in found[1:] if one.winners == (one.anchor,) and one.certain]
    worse = [one.anchor for one in found[1:] if one.anchor not in one.winners]
    parts = [f"{names(better)} {_are(better)} also smaller than the best untrained codec"] if better else []
    parts += [f"{names(worse)} {_are(worse)} larger than it"] if worse else []
    text += f" Of the other learned codecs {', '.join(parts)}." if parts else ""
    may = eligible(points)
    best = may.loc[(may["trained_on"] != "") & may["psnr_db"].notna(), "psnr_db"].max()
    if best < TARGET_DB:
        text += f" No learned codec here reaches {TARGET_DB:g}{SPACE}dB."
    return [text]


def headers(whole: Claim, inner: Claim) -> list[str]:
    """What headers do to the ranking at this size."""
    shares = {
        codec: offer.header_bits / offer.bits
        for codec, offer in whole.rates.items()
        if math.isfinite(offer.header_bits) and offer.bits > 0
    }
    if not shares:
        return []
    changed = inner.winners[0] not in whole.winners and inner.certain and whole.winners[0] not in inner.winners
    heaviest = max(shares, key=lambda name: (shares[name], name))
    codec = inner.winners[0] if changed and shares.get(inner.winners[0], 0) >= claims.NOTABLE_SHARE else heaviest
    if shares[codec] < claims.NOTABLE_SHARE and not changed:
        if inner.winners != whole.winners:
            return []
        return [
            f"**Headers** are at most {_percent(100 * shares[heaviest])} of a file {_quality(whole)} and make no "
            "difference to the ranking."
        ]
    offer = whole.rates[codec]
    start = (
        f"of the {format_significant(offer.num_bytes)} bytes with which `{codec}` reaches {whole.quality_db:g}{SPACE}"
        f"dB, {format_significant(offer.header_bits / 8)} are headers and tables ({_percent(100 * shares[codec])})"
    )
    if changed:
        by = claims.saving(inner.first, inner.rates[whole.winners[0]])
        return [
            f"**Headers** decide the ranking at this size: {start}. By payload alone `{inner.winners[0]}` would be "
            f"first, with {_fewer(by)} less than `{whole.winners[0]}`."
        ]
    same = inner.winners[0] == whole.winners[0] and len(inner.winners) == 1
    end = f"; by payload alone `{whole.winners[0]}` is first as well" if same else ""
    return [f"**Headers:** {start}{end}."]


def names(codecs: Sequence[str], word: str = "and") -> str:
    """Codecs' names as code: ``a, b and c``."""
    quoted = [f"`{codec}`" for codec in codecs]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"


def _level(claim: Claim) -> str:
    sizes = [claim.rates[codec].num_bytes for codec in claim.winners]
    span = format_span(min(sizes), max(sizes), format_significant, "bytes")
    return f"{names(claim.winners)} are level at {span} per image"


def _are(codecs: Sequence[str]) -> str:
    return "is" if len(codecs) == 1 else "are"


def _time(value: float) -> str:
    return format_seconds(value).replace(" ", SPACE)


def capital(text: str) -> str:
    """A text as the beginning of a sentence."""
    return text[0].upper() + text[1:]


def size_of(offer: BestRate) -> str:
    """What an offer costs, in words."""
    return f"{format_significant(offer.num_bytes)} bytes per image"


def _quality(claim: Claim) -> str:
    return f"at {claim.quality_db:g}{SPACE}dB"


def _variant(offer: BestRate, points: pd.DataFrame) -> str:
    """Which of a codec's points an offer is, or is near to, in brackets; empty for a codec with one."""
    own = [str(settings) for settings in points.loc[points["codec"] == offer.codec, "settings"]]
    short = short_settings(offer.settings, varying(own))
    words = (["lossless"] if offer.exact else []) + ([f"`{short}`"] if short else [])
    near = "near " if short and not offer.exact and not offer.measured else ""
    return f" ({near}{', '.join(words)})" if words else ""


def _percent(value: float) -> str:
    near_all = 99 < value < 99.95
    return f"{value:.1f}{SPACE}%" if value < 9.95 or near_all else f"{value:,.0f}{SPACE}%"


def _fewer(difference: Saving) -> str:
    """A difference, with its interval where that is wide enough to change what one thinks of it, or is not known."""
    if difference.unknown:
        return f"{_percent(difference.percent)} (interval {difference.unknown})"
    if difference.known and difference.high - difference.low > difference.percent / 5:
        return f"{_percent(difference.percent)} ({difference.low:.1f} to {difference.high:.1f}{SPACE}%)"
    return _percent(difference.percent)
