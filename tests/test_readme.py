"""What README.md, CONTRIBUTING.md and docs/ say is so: numbers, links, pictures, commands, facts about releases."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

import codecbench
from codecbench.cli import main
from codecbench.errors import UsageError
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.registry import CODECS, DATASETS, METRICS
from codecbench.plugins.settings import settings_of

ROOT = Path(__file__).resolve().parents[1]
SUMMARY = ROOT / "results" / "reference" / "summary.csv"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "codecs" / "weights" / "README.md"]
INVENTED = {"quantised_zlib", "tiny_ae", "tiny_lossless", "zlib28", "checkerboards", "my_codec", "my_torch_codec"}
"""Plugins that the pages make up; tests/test_docs.py runs them."""


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands() -> list[tuple[str, str]]:
    """Every ``codecbench …`` line in the shell blocks of the pages, with the page it stands in."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, line) for line in lines if "codecbench " in line.partition(" #")[0]]
    return found


def arguments_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    assert Path(words[0]).name == "codecbench", line
    return words[1:]


# ---- numbers --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def readme_table():
    spec = importlib.util.spec_from_file_location("readme_table", ROOT / "docs" / "readme_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not SUMMARY.is_file(), reason="results/reference/summary.csv is not there yet")
def test_the_readme_shows_the_numbers_of_the_reference_run(readme_table):
    readme = text(ROOT / "README.md")
    expected = readme_table.with_table(
        readme, readme_table.table(readme_table.read_table(), readme_table.read_table(readme_table.SETS))
    )
    assert readme == expected, "run `python docs/readme_table.py --write`"


LEARNED_LOSSLESS = ("ar_lossless", "res_lossless")


def unlearned_rows() -> list[dict[str, str]]:
    return [row for row in invented_rows() if row["codec"] not in ("rd_ae", *LEARNED_LOSSLESS)]


def invented_rows() -> list[dict[str, str]]:
    """A summary with the points that the table asks for; the farther down in a codec's list, the more bits."""
    points = {
        "mnist": {
            "lossy_ae": ["latent=float32,tiles=false", "latent=int8,tiles=false"],
            "cond_ae": [
                f"size={size},labels={told},latent={latent}"
                for size in (8, 32)
                for told in ("true", "false")
                for latent in ("float32", "int8")
            ],
            "lossless_ae": [""],
            "svd": ["rank=5", "rank=13"],
            "png": ["compress_level=9", "compress_level=1"],
            **{codec: ["mode=lossy,quality=10", "mode=lossy,quality=20"] for codec in ("jpeg", "avif")},
            **{codec: ["mode=lossy,q=1", "mode=lossy,q=2", "mode=lossless"] for codec in ("webp", "jxl", "jpeg2000")},
            "jpegls": ["near=0"],
            "rd_ae": ["quality=8.0", "quality=4.0"],
            **{codec: [""] for codec in LEARNED_LOSSLESS},
        },
        "stl10": {
            "stl10_ae": [f"latent={latent},tiles=false" for latent in ("int8", "float16", "float32", "float64")],
            "png": ["compress_level=9", "compress_level=1"],
            **{codec: ["a=1", "a=2", "a=3"] for codec in ("jpeg", "avif", "svd")},
            **{codec: ["a=1", "a=2", "a=3", "mode=lossless"] for codec in ("webp", "jxl", "jpeg2000")},
            "jpegls": ["near=0"],
            "rd_ae": ["a=1", "a=2", "a=3"],
            "res_lossless": [""],
        },
    }
    photographs = ("jpeg", "avif", "webp", "jxl", "jpeg2000", "png", "jpegls", "rd_ae", "res_lossless")
    points["folder:kodak"] = {codec: points["stl10"][codec] for codec in photographs}
    rows = []
    for dataset, codecs in points.items():
        for codec, settings in codecs.items():
            for number, point in enumerate(settings):
                lossless = codec in ("png", "jpegls", *LEARNED_LOSSLESS) or point == "mode=lossless"
                row = {
                    "dataset": dataset,
                    "codec": codec,
                    "settings": point,
                    "images": "10000",
                    "lossless": str(lossless),
                }
                row |= {"bits_per_image": f"{1024.0 + number}", "bits_per_pixel": "1.3"}
                row |= {"compression_ratio": "6.125", "compression_ratio_float32": "24.5"}
                row |= {"mse": "0.0" if lossless else f"{0.006 - number / 1000}", "mse_float": ""}
                row |= {"psnr_db": "" if lossless else f"{28 + 2.5 * number}", "ssim": "0.9"}
                row |= {"psnr_of_mean_mse_db": "" if lossless else f"{27.5 + 2.5 * number}", "exact_images": "0"}
                row |= {"exact_pixels": "0.25", "max_abs_error": "7"}
                rows.append(row | {"encode_s": "0.00012", "decode_s": ""})
    return rows


def invented_sets() -> list[dict[str, str]]:
    bits = {"zstd:level=1": 9000, "zstd:level=22": 7000, "ppmd:order=4": 8000}
    rows = [
        dict(zip(("codec", "settings"), spec.split(":"), strict=True))
        | {"set_bytes": str(size), "bits_per_pixel": "1.5"}
        for spec, size in bits.items()
    ]
    rows.append({"codec": "bz2", "settings": "level=9", "set_bytes": "", "bits_per_pixel": "", "status": "failed: no"})
    return [{"dataset": "mnist", "images": "10000", "status": ""} | row for row in rows]


def test_whole_sets_stand_by_themselves_the_smallest_first(readme_table):
    lines = readme_table.whole_sets(invented_sets()).splitlines()
    assert lines[0].startswith("All 10,000 digits as one stream")
    assert lines[-2:] == ["| `zstd:level=22` | 7,000 | 1.500 |", "| `ppmd:order=4` | 8,000 | 1.500 |"]


def test_the_table_takes_the_points_it_names(readme_table):
    chosen = readme_table.chosen(invented_rows())
    found = {dataset: [(row["codec"], row["settings"]) for row, _ in rows] for dataset, rows in chosen.items()}
    assert ("jpeg", "mode=lossy,quality=10") in found["mnist"]
    assert ("webp", "mode=lossless") in found["mnist"]
    assert ("png", "compress_level=9") in found["stl10"]
    assert ("stl10_ae", "latent=float64,tiles=false") in found["stl10"]
    assert ("avif", "a=2") in found["stl10"]  # 30.5 dB
    lines = readme_table.table(invented_rows(), invented_sets()).splitlines()
    assert lines[0] == "`mnist`, 10,000 test images:"
    assert lines[4].startswith("| `lossy_ae:latent=float32,tiles=false` | 32 floats | 1,024 | 1.300 | 6.12 | 24.50 |")
    assert lines[4].endswith("| 0.006 | – | 28.00 | 0.9000 | 0.12 | – |")
    assert [line.split("|")[9].strip() for line in lines if line.startswith("| `png")] == ["exact"] * 3


def test_the_sentence_about_the_two_means_takes_the_widest_gap(readme_table):
    rows = invented_rows()
    row = next(row for row in rows if row["settings"] == "rank=13")
    row |= {"psnr_db": "60.0", "psnr_of_mean_mse_db": "75.0", "exact_images": "9990"}
    said = " ".join(readme_table.table(rows, invented_sets()).split())
    assert "`svd:rank=13` on `mnist`: 60.00 dB and 75.00 dB. There 9,990 of 10,000 images" in said
    assert "the other 10 alone" in said


def test_what_is_said_of_the_autoencoders(readme_table):
    table = readme_table.table(invented_rows(), invented_sets())
    said = " ".join(table.split())
    assert "`lossless_ae` restores 25.00% of all pixels exactly, and 0 of 10,000 images;" in said
    assert "largest error of any pixel is 7 of 255 levels." in said
    assert "| 8 | written | 1,024.0 |" in said
    assert table.splitlines()[-1].startswith("| 32 | none | 1,030.0 | – | 1,031.0 |")


def test_the_table_is_put_between_its_marks(readme_table):
    once = readme_table.with_table(text(ROOT / "README.md"), "| a |")
    assert once.count(readme_table.BEGIN) == once.count(readme_table.END) == 1
    assert readme_table.with_table(once, "| a |") == once
    assert once.endswith(text(ROOT / "README.md").partition(readme_table.END)[2])


@pytest.fixture(scope="module")
def learned_tables():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        yield importlib.import_module("learned_tables")


def test_the_page_on_learned_codecs_shows_the_numbers_of_the_reference_run(learned_tables):
    page = text(learned_tables.PAGE)
    expected = learned_tables.with_blocks(page, learned_tables.read_rows())
    assert page == expected, "run `python docs/learned_tables.py --write`"


def learned_rows() -> list[dict[str, str]]:
    """A summary with learned codecs in it, each a tenth smaller than the classical one."""
    rows = unlearned_rows()
    empty = dict.fromkeys(rows[0], "")
    points = [("mnist", "rd_ae", f"quality={number}", 160.0 - 20 * number, number) for number in range(4)]
    points += [("stl10", "rd_ae", f"quality={number}", 0.9 * (1024 + number), number) for number in range(3)]
    points += [("mnist", "ar_lossless", "", 800.0, 0), ("folder:kodak", "res_lossless", "", 900.0, 0)]
    for dataset, codec, settings, bits, number in points:
        lossless = codec != "rd_ae"
        row = {"dataset": dataset, "codec": codec, "settings": settings, "images": "5", "lossless": str(lossless)}
        row |= {"bits_per_image": f"{bits}", "bits_per_pixel": f"{bits / 784:.4f}", "mse": f"{0.002 * (number + 1)}"}
        row |= {"psnr_db": "" if lossless else f"{28 + 2.5 * number}", "encode_s": "0.01", "decode_s": "0.02"}
        rows.append(empty | row)
    return [{"payload_bits_per_image": ""} | row for row in rows]


def test_the_tables_of_learned_codecs_take_the_points_that_they_name(learned_tables):
    rows = learned_rows()
    lines = learned_tables.digits(rows).splitlines()
    assert lines[2] == "| `rd_ae:quality=0` | 160.0 | 0.00200 |"
    # from 160 bits at 0.002 to 140 bits at 0.004, in logarithms
    between = 160 * (140 / 160) ** (math.log(0.003653 / 0.002) / math.log(2))
    assert lines[-1].endswith(f"`rd_ae` takes {between:,.1f} bits there.")
    assert "| `webp` | -10.0 % | – | 28.0 to 33.0 |" in learned_tables.crops(rows)
    assert "| `ar_lossless` | 1.020 | – | – |" in learned_tables.lossless(rows)
    assert "| MNIST | `ar_lossless` | 10 | 20 |" in learned_tables.speed(rows)


def test_what_is_not_measured_is_said_to_be_so(learned_tables):
    for name in ("digits", "crops", "photographs", "lossless", "speed"):
        made = learned_tables.BLOCKS[name]
        assert made(unlearned_rows()) == learned_tables.NOT_YET


def test_the_tables_of_ablations_compare_with_the_whole(learned_tables, tmp_path, monkeypatch):
    monkeypatch.setattr(learned_tables, "ABLATIONS", tmp_path)
    assert learned_tables.ablations([]) == learned_tables.NOT_YET
    head = "variant,quality,bits_per_image,bits_per_pixel,mse,psnr_db,held_out_images,steps,batch_size,seed,seconds\n"
    whole = ["the whole,1,50,0.1,0.008,21,9,6,4,0,1", "the whole,2,200,0.3,0.002,27,9,6,4,0,1"]
    more = ["half as good,1,100,0.1,0.008,21,9,6,4,0,1", "half as good,2,400,0.3,0.002,27,9,6,4,0,1"]
    one = ["one quality,4,110,0.2,0.004,24,9,6,4,0,1"]
    for name in ("digits", "colour"):
        rows = [*whole, *more, *(one if name == "digits" else [])]
        (tmp_path / f"{name}.csv").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    lines = learned_tables.ablations([]).splitlines()
    assert lines[0] == "`rd_ae` on digits, 6 steps of 4 images, judged by 9 training images that were held out:"
    assert [line.rpartition("|")[0].rpartition("|")[2].strip() for line in lines[4:7]] == ["", "+100.0 %", "+10.0 %"]
    assert "| half as good | 21.0 to 27.0 | +100.0 % |" in lines


def test_the_decoder_is_as_large_as_the_readme_says():
    decoder = CODECS.get("lossy_ae").network().decoder
    parameters = sum(parameter.numel() for parameter in decoder.parameters())
    said = " ".join(text(ROOT / "README.md").split())
    assert f"{parameters:,} parameters, {4 * parameters:,} bytes in float32" in said
    assert f"{4 * parameters / 10_000:.0f} bytes an image on top of the 128" in said


@pytest.mark.skipif(not SUMMARY.is_file(), reason="results/reference/summary.csv is not there yet")
def test_the_command_of_the_reference_run_is_the_one_it_was_made_with(readme_table):
    manifest = json.loads(text(SUMMARY.with_name("run.json")))
    # The rates may be measured first, and the times later, when the machine is quiet.
    rates = {call["command"] for call in manifest["invocations"] if call["command"].endswith(" --no-timing")}
    recorded = {command.removesuffix(" --no-timing").replace(" --skip gan_ae", "") for command in rates}
    assert len(recorded) == 2
    for command in recorded:
        assert f"\n{command.removesuffix(' --fresh')} --out DIR\n" in text(ROOT / "README.md")
    assert {label: record["images"] for label, record in manifest["datasets"].items()} == {
        "mnist": 10000,
        "stl10": 1000,
        "folder:kodak": 24,
    }
    assert f"head -c {1000 * 96 * 96 * 3} test_X.bin" in text(ROOT / "README.md")
    rows = [row for row in readme_table.read_table() if row["psnr_db"]]
    assert any(abs(float(row["psnr_db"]) - float(row["psnr_of_mean_mse_db"])) > 1.0 for row in rows)


# ---- links and pictures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_pictures_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"https?://", target):
            continue
        file = (page.parent / target.partition("#")[0]).resolve()
        awaited = not SUMMARY.is_file() and SUMMARY.parent in file.parents
        assert file.is_relative_to(ROOT), target
        assert file.exists() or awaited, f"{page.name} points to {target}, which is not there"


# ---- commands -------------------------------------------------------------------------------------------------------


def check_command(line: str) -> None:
    """Resolves the command, its options and the specs in them; runs nothing."""
    command, arguments = main.cli, arguments_of(line)
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


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_parse(page, line, monkeypatch):
    for registry in (CODECS, METRICS):
        monkeypatch.setattr(registry, "add_folder", lambda folder: None)
    check_command(line)


@pytest.mark.parametrize("line", ["codecbench rum", "codecbench run --image 5", "codecbench run --codecs jpeg:q=5"])
def test_commands_that_are_wrong_would_be_noticed(line):
    with pytest.raises((click.ClickException, UsageError)):
        check_command(line)


def test_the_commands_are_found():
    assert len(commands()) >= 8
    assert arguments_of("A=b .venv/bin/codecbench list  # all of it") == ["list"]


def test_make_commands_exist():
    targets = re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE)
    for page in PAGES:
        for target in re.findall(r"^make ([a-z-]+)", text(page), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"


# ---- machines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
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


# ---- releases -------------------------------------------------------------------------------------------------------


def test_versions_and_licence_agree():
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    citation = dict(re.findall(r'^(\w[\w-]*): "?([^"\n]+)"?$', text(ROOT / "CITATION.cff"), re.MULTILINE))
    assert project["version"] == codecbench.__version__ == citation["version"]
    assert project["license"] == citation["license"] == "Apache-2.0"
    assert citation["cff-version"] == "1.2.0"
    assert f"## [{project['version']}]" in text(ROOT / "CHANGELOG.md")
    assert text(ROOT / "LICENSE").count("\n") == 202
