"""The answer first: which codec to take for each dataset, by how much and at what speed, in a few sentences.

Every sentence is written from a :class:`codecbench.analysis.claims.Claim`, and says no more than it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from codecbench.analysis import best, claims
from codecbench.analysis.claims import Claim, few
from codecbench.analysis.points import HARNESS
from codecbench.report import markup, sentences
from codecbench.report.context import Context, Section
from codecbench.report.sentences import SPACE, capital, names, region, shown, size_of
from codecbench.text import count, format_shape, join_words


@dataclass(frozen=True)
class Answer:
    """What a reader should know of one dataset."""

    dataset: str
    about: str  # its images in a few words
    lead: str  # what to take
    lines: list[str] = field(default_factory=list)  # why, and what else to know, a sentence or two each
    claims: list[Claim] = field(default_factory=list)  # what all of these are written from


def section(context: Context) -> Section:
    """The first section of every page."""
    found = [answer(context, label) for label in context.datasets]
    html = context.render("answer.html.j2", answers=found, method=METHOD)
    return Section("answer", "The answer", html, _markdown(found), style="words.css")


def _markdown(answers: Sequence[Answer]) -> str:
    lines = ["## The answer first", ""]
    for answer in answers:
        lines += [f"### {markup.markdown(answer.dataset)}", ""]
        lines += [markup.markdown(answer.about), ""] if answer.about else []
        lines += [markup.prose_markdown(answer.lead), ""]
        lines += [f"- {markup.prose_markdown(line)}" for line in answer.lines] + [""]
    return "\n".join([*lines, markup.prose_markdown(METHOD), ""])


METHOD = (
    "Codecs are compared by the bytes of whole files with which they reach at least a PSNR: "
    f"{', '.join(f'{level:g}' for level in best.LEVELS_DB[:-1])} and {best.LEVELS_DB[-1]:g}{SPACE}dB, from coarse "
    "to fine; a level is left out if too few of them have settings as coarse as that. "
    f"If the 95{SPACE}% interval of a difference is known and contains 0, or the difference is below "
    f"{claims.LEAST_PERCENT:g}{SPACE}%, two codecs are called level."
)


def answer(context: Context, dataset: str) -> Answer:
    """What the numbers say of one dataset."""
    points = context.of(dataset)
    measured = points[points["images"] > 0]
    about = _about(context, dataset)
    if measured.empty:
        failed = points["failed"].sum() > 0
        why = "Every codec failed here" if failed else "Nothing was measured here yet"
        return Answer(dataset, about, f"{why}: there is no answer.")
    if set(measured["codec"]) == {HARNESS}:
        return Answer(dataset, about, f"Only `{HARNESS}` was measured here, which compresses nothing.")
    resampled, same = context.resampled, context.of(dataset, over="psnr_db")
    at_quality = claims.by_quality(dataset, same, context.anchor, resampled)
    lossless = claims.lossless(dataset, points, context.anchor, resampled)
    learned = claims.learned(dataset, same, resampled)
    used = [*at_quality, *([lossless] if lossless else []), *learned]
    groups = sentences.group_by_winners(at_quality)
    instead = sentences.lossless_instead(groups)
    lines = [
        sentences.at_quality(group, points)
        for group in (groups if len(set(claims.untrained(points)["codec"])) > 1 else [])
        if not (instead and group[0].first.exact and lossless is not None and group[0].winners == lossless.winners)
    ]
    lines += instead
    main = shown(at_quality) if at_quality else None
    lines += sentences.speed(points, main) if main is not None else []
    if main is not None and not points["encode_s"].notna().any():
        lines.append("**Speed:** no times were measured on these images.")
    lines += sentences.lossless(lossless, points)
    lines += sentences.learned(context.manifest["codecs"], learned, points)
    if main is not None and (both := claims.payload(dataset, same, resampled, main.quality_db)) is not None:
        lines += sentences.headers(*both)
        used += both
    lines += filter(None, [context.same.note(dataset, "psnr_db")])
    return Answer(dataset, about, lead(groups, lossless, measured), [*lines, *_left_out(measured, same)], used)


def _about(context: Context, dataset: str) -> str:
    record = context.manifest["datasets"][dataset]
    shapes = [format_shape(shape) for shape in context.read.shapes.get(dataset, ())]
    size = f", {join_words(shapes)} pixels" if 0 < len(shapes) <= 3 else ""
    return count(record["images"], "image") + size


def lead(groups: Sequence[Sequence[Claim]], lossless: Claim | None, measured: pd.DataFrame) -> str:
    """What to take, in a sentence or two, from claims grouped by winners and the points that have results."""
    candidates = set(claims.untrained(measured)["codec"])
    trained = set(best.eligible(measured)["codec"]) - candidates
    if not groups:
        return _without_quality(lossless, candidates, trained)
    every = [claim for group in groups for claim in group]
    first = shown(groups[0])
    if len(candidates) == 1:
        return f"Only {names(sorted(candidates))} can be judged here: {size_of(first.first)} {region([first])}."
    whom = f"of the {len(candidates)} codecs {'that need no training' if trained else 'here'}"
    parts = [f"{region(group)} {_take(group)}" for group in groups]
    if all(not claim.certain for claim in every):
        some = "this one image" if first.images == 1 else f"these {first.images:,} images"
        little = "So few images say" if few(first.images) else "These numbers say"
        return f"On {some}, smallest {whom}: **{', '.join(parts)}**. {little} nothing certain about other images."
    if all(len(claim.rates) == 1 for claim in every):
        levels = join_words([f"{claim.quality_db:g}" for claim in every])
        return f"Only {names(sorted({claim.first.codec for claim in every}))} reaches {levels}{SPACE}dB, {whom}."
    always = set(every[0].winners).intersection(*(claim.winners if claim.certain else () for claim in every))
    if len(always) == 1 and all(len(claim.winners) == 1 for claim in every):
        kinds = "; ".join(f"{'lossless' if group[0].first.exact else 'lossy'} {region(group)}" for group in groups)
        return f"**Take {names(sorted(always))}**, {kinds}: it needs the fewest bytes {whom}."
    if len(groups) > 1 and always:
        pick = max(sorted(always), key=lambda codec: sum(claim.winners[0] == codec for claim in every))
        return f"**Take `{pick}`**: {region(every)} no other codec has significantly smaller files, {whom}."
    taken = [f"{capital(region(groups[0]))} take {_take(groups[0])}", *parts[1:]]
    return f"**{'; '.join(taken)}**: the fewest bytes {whom}."


def _without_quality(lossless: Claim | None, candidates: set[str], trained: set[str]) -> str:
    if lossless is not None:
        if lossless.images and few(lossless.images):
            return f"On these few images {names(lossless.winners)} has the smallest lossless files."
        if len(lossless.rates) == 1 and len(candidates | trained) == 1:
            return f"Only {names(lossless.winners)} can be judged here, lossless: {size_of(lossless.first)}."
        take = names(lossless.winners, "or") + (" (level)" if len(lossless.winners) > 1 else "")
        return f"**Take {take}**, lossless: no lossy codec was measured over a range of quality here."
    if candidates or trained:
        return "No codec here can be compared with another at equal quality, so none is the best."
    return "No codec here was measured on data that it can fairly be judged by, so none is the best."


def _take(group: Sequence[Claim]) -> str:
    claim = group[0]
    if len(claim.winners) > 1:
        return names(claim.winners, "or") + " (level)"
    sure = "" if claim.certain or few(claim.images) else " (not certain)"
    return ("lossless " if claim.first.exact else "") + f"`{claim.winners[0]}`{sure}"


def _left_out(measured: pd.DataFrame, same: pd.DataFrame) -> list[str]:
    """Codecs that may not win here, by name, and why."""
    left_out = best.incomplete(measured) & (same["images"][measured.index] == 0)
    left_out = left_out.groupby(measured["codec"]).transform("all")
    reasons = (
        (measured["mark"] == "†", "†", "trained on other data"),
        (measured["mark"] == "‡", "‡", "measured on its own training images"),
        (
            left_out,
            "",
            "with results for fewer images than the others",
        ),
    )
    lines = []
    for which, mark, why in reasons:
        codecs = sorted(set(measured.loc[which, "codec"]))
        if codecs:
            lines.append(f"Not considered in these answers: {names(codecs)}{mark}, {why}.")
    return lines
