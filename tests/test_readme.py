"""What README.md, CONTRIBUTING.md and docs/ say is so: numbers, links, pictures, commands, facts about releases."""

from __future__ import annotations

import copy
import importlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest

import codecbench
from codecbench.cli.main import cli
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.registry import CODECS, DATASETS, METRICS
from codecbench.plugins.settings import settings_of

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "codecs" / "weights" / "README.md"]
INVENTED = {"quantised_zlib", "tiny_ae", "tiny_lossless", "zlib28", "checkerboards", "my_codec", "my_torch_codec"}
"""Plugins that the pages make up; tests/test_docs.py runs them."""
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def script(name: str) -> ModuleType:
    """A script of docs/; it may import its neighbours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        return importlib.import_module(name)


results, learned = script("results_tables"), script("learned_tables")


@pytest.fixture
def rows() -> list[dict[str, str]]:
    """The summary of the reference run."""
    return copy.deepcopy(results.read_table())


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)


# ---- the README and the scripts -------------------------------------------------------------------------------------


def test_the_readme_is_short():
    assert len(text(README).encode()) <= 12_000


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "docs").glob("*.py"))])
def test_scripts_import(name):
    assert script(name).__doc__


# ---- numbers --------------------------------------------------------------------------------------------------------


def test_the_page_of_results_shows_the_numbers_of_the_reference_run(rows):
    page = text(results.PAGE)
    content = results.table(rows, results.read_table(results.SETS))
    assert page == results.with_table(page, content), "run `python docs/results_tables.py --write`"


def test_the_tables_take_the_points_they_name(rows):
    chosen = results.chosen(rows)
    for dataset, points in chosen.items():
        members = [row for row in rows if row["dataset"] == dataset and int(row["images"])]
        for row, why in points:
            rivals = [other for other in members if other["codec"] == row["codec"]]
            if why == "smallest lossless":
                exact = [float(other["bits_per_image"]) for other in rivals if other["lossless"] == "True"]
                assert float(row["bits_per_image"]) == min(exact)
            elif why == "nearest to 30 dB":
                gaps = [abs(float(other["psnr_db"]) - 30) for other in rivals if other["psnr_db"]]
                assert abs(float(row["psnr_db"]) - 30) == min(gaps)
            elif why.startswith("smallest with an MSE"):
                most = float(chosen["mnist"][0][0]["mse"])
                good = [float(other["bits_per_image"]) for other in rivals if float(other["mse"]) <= most]
                assert float(row["bits_per_image"]) == min(good)
    assert {why for points in chosen.values() for _, why in points} >= {"smallest lossless", "nearest to 30 dB"}


def test_what_is_said_below_the_tables(rows):
    row = next(row for row in rows if row["settings"] == "rank=13")
    row |= {"psnr_db": "60.0", "psnr_of_mean_mse_db": "575.0", "exact_images": "9990"}
    said = " ".join(results.two_means(rows).split())
    assert "`svd:rank=13` on `mnist`: 60.00 dB and 575.00 dB. There 9,990 of 10,000 images" in said
    assert "mean over the other 10 alone" in said
    row = next(row for row in rows if row["codec"] == "lossless_ae" and row["dataset"] == "mnist")
    row |= {"exact_pixels": "0.25", "exact_images": "3", "max_abs_error": "7"}
    said = " ".join(results.nearly_lossless(rows).split())
    assert "restores 25.00% of all pixels exactly, and 3 of 10,000 images" in said
    assert "largest error of any pixel is 7 of 255" in said
    one = {"dataset": "mnist", "images": "10000", "status": "", "codec": "zstd", "bits_per_pixel": "1.5"}
    sets = [one | {"settings": f"level={size}", "set_bytes": f"{size}"} for size in (9000, 7000)]
    sets.append(one | {"codec": "bz2", "set_bytes": "", "status": "failed: no"})
    sets.append(one | {"codec": "ppmd", "settings": "order=4", "set_bytes": "8000"})
    lines = results.whole_sets(sets).splitlines()
    assert lines[-2:] == ["| `zstd:level=7000` | 7,000 | 1.500 |", "| `ppmd:order=4` | 8,000 | 1.500 |"]


def test_the_page_on_learned_codecs_shows_the_numbers_of_the_reference_run(rows):
    page = text(learned.PAGE)
    assert page == learned.with_blocks(page, rows), "run `python docs/learned_tables.py --write`"


def test_bits_at_an_error_are_read_between_points(rows):
    points = [row for row in rows if row["dataset"] == "mnist" and row["codec"] == "rd_ae"][:2]
    points[0] |= {"settings": "quality=0", "bits_per_image": "160", "mse": "0.004"}
    points[1] |= {"settings": "quality=1", "bits_per_image": "200", "mse": "0.002"}
    lines = learned.digits(points).splitlines()
    assert lines[2] == "| `rd_ae:quality=1` | 200.0 | 0.00200 |"
    between = 160 * (200 / 160) ** (math.log(0.004 / 0.003653) / math.log(2))  # straight in logarithms
    assert lines[-1].endswith(f"`rd_ae` takes {between:,.1f} bits there.")


def test_the_tables_of_ablations_compare_with_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "ABLATIONS", tmp_path)
    assert learned.ablations([]) == learned.NOT_YET
    head = "variant,quality,bits_per_image,bits_per_pixel,mse,psnr_db,held_out_images,steps,batch_size,seed,seconds\n"
    whole = ["the whole,1,50,0.1,0.008,21,9,6,4,0,1", "the whole,2,200,0.3,0.002,27,9,6,4,0,1"]
    more = ["half as good,1,100,0.1,0.008,21,9,6,4,0,1", "half as good,2,400,0.3,0.002,27,9,6,4,0,1"]
    one = ["one quality,4,110,0.2,0.004,24,9,6,4,0,1"]
    for name in ("digits", "colour"):
        lines = [*whole, *more, *(one if name == "digits" else [])]
        (tmp_path / f"{name}.csv").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    lines = learned.ablations([]).splitlines()
    assert lines[0].startswith("`rd_ae` on digits, 6 steps of 4 images")
    assert [line.rpartition("|")[0].rpartition("|")[2].strip() for line in lines[4:7]] == ["", "+100.0 %", "+10.0 %"]
    assert "| half as good | 21.0 to 27.0 | +100.0 % |" in lines


def test_the_decoder_is_as_large_as_the_page_says():
    decoder = CODECS.get("lossy_ae").network().decoder
    parameters = sum(parameter.numel() for parameter in decoder.parameters())
    said = " ".join(text(ROOT / "docs" / "measuring.md").split())
    assert f"{parameters:,} parameters, {4 * parameters:,} bytes in float32" in said
    assert f"{4 * parameters / 10_000:.0f} bytes per image on top of the 128" in said


def test_the_commands_of_the_reference_run_are_those_it_was_made_with():
    manifest = json.loads(text(results.SUMMARY.with_name("run.json")))
    # The rates may be measured first, and the times later, when the machine is quiet.
    rates = {call["command"] for call in manifest["invocations"] if call["command"].endswith(" --no-timing")}
    recorded = {command.removesuffix(" --no-timing").replace(" --skip gan_ae", "") for command in rates}
    assert len(recorded) == 2
    for command in recorded:
        assert f"\n{command.removesuffix(' --fresh')} --out DIR\n" in text(results.PAGE)
    images = {label: record["images"] for label, record in manifest["datasets"].items()}
    assert images == {"mnist": 10000, "stl10": 1000, "folder:kodak": 24}
    assert f"head -c {1000 * 96 * 96 * 3} test_X.bin" in text(results.PAGE)


# ---- links and pictures ---------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text(page), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@each_page
def test_links_and_pictures_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_relative_to(ROOT), target
        assert file.exists(), f"{page.name} points to {target}, which is not there"
        assert not anchor or anchor in anchors(file), f"{page.name} points to {target}: no such heading"


def test_every_page_is_reached_from_the_readme():
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text(README))}
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in linked or page.name == "perceptual.md"  # a part of learned-codecs.md


# ---- commands -------------------------------------------------------------------------------------------------------


def commands() -> list[str]:
    """Every ``codecbench …`` line in the shell blocks of the pages."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if "codecbench " in line.partition(" #")[0]]


def arguments_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    assert Path(words[0]).name == "codecbench", line
    return words[1:]


def check_command(line: str) -> None:
    """Resolves the command, its options and the specs in them; runs nothing."""
    command, arguments = cli, arguments_of(line)
    context = click.Context(command, info_name="codecbench")
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None, line
        command, context = found, click.Context(found, info_name=name, parent=context)
    parameters = command.make_context(command.name, list(arguments)).params
    for registry, specs in ((CODECS, parameters.get("codecs")), (DATASETS, parameters.get("datasets"))):
        for spec in split_specs(specs or ()):
            if spec.name not in INVENTED | {"all"}:
                assert expand(spec, settings_of(registry.get(spec.name)))
    if "name" in parameters:
        assert parameters["name"] in {*CODECS.names(), *DATASETS.names()} | INVENTED


def test_commands_parse(monkeypatch):
    for registry in (CODECS, METRICS):
        monkeypatch.setattr(registry, "add_folder", lambda folder: None)
    assert len(commands()) >= 8
    for line in commands():
        check_command(line)


def test_make_commands_exist():
    targets = re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE)
    for page in PAGES:
        for target in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", text(page), re.MULTILINE):
            assert "".join(target) in targets, f"{page.name}: make {target}"


# ---- machines and releases ------------------------------------------------------------------------------------------


@each_page
def test_no_page_names_a_machine_or_a_package_index(page):
    found = re.findall(r"(?<![\w.])/(?:home|root|tmp|work|mnt|Users|opt|usr)\b|[A-Z]:\\", text(page))
    found += re.findall(r"pypi\.\w+|pythonhosted|download\.pytorch\.org|--(?:extra-)?index-url|localhost", text(page))
    assert not found


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("there_before", [True, False])
def test_ci_removes_only_the_environment_that_it_made(there_before, tmp_path):
    clone, tools, scratch = (tmp_path / name for name in ("clone", "tools", "scratch"))
    for folder in (clone / ".ci", tools, scratch):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", clone / ".ci" / "run")
    (tools / "make").write_text("#!/bin/sh\nmkdir -p .venv/made\nexit 3\n", encoding="utf-8")
    (tools / "make").chmod(0o755)
    if there_before:
        (clone / ".venv").mkdir()
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(scratch)}
    done = subprocess.run(["bash", clone / ".ci" / "run"], env=environment, capture_output=True, check=False)
    assert done.returncode == 3
    assert (clone / ".venv").exists() == there_before
    assert not list(scratch.iterdir())


def test_versions_and_licence_agree():
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    citation = dict(re.findall(r'^(\w[\w-]*): "?([^"\n]+)"?$', text(ROOT / "CITATION.cff"), re.MULTILINE))
    assert project["version"] == codecbench.__version__ == citation["version"]
    assert project["license"] == citation["license"] == "Apache-2.0"
    assert citation["cff-version"] == "1.2.0"
    assert f"## [{project['version']}]" in text(ROOT / "CHANGELOG.md")
    assert text(ROOT / "LICENSE").count("\n") == 202
