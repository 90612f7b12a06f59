"""The image browser in a real browser: exact pixels, slider, presets, errors, keyboard, phone; and what it embeds."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import PHONE, Opened, context, figures_as_stubs, quick_report
from PIL import Image
from playwright.sync_api import Locator, Page
from runs import MadeUpRun

from codecbench.plugins.codec import Images
from codecbench.report import browser, look, sprites
from codecbench.report.context import Section
from codecbench.store.io import cut_out
from codecbench.store.pictures import StoredImage, WorstCase, choose_window

SHAPES = {"gray": (12, 10, 1), "colour": (20, 24, 3)}
JPEG = ((10, 40, 0.01), (50, 100, 0.002), (90, 300, 0.0002))
WEBP = ((20, 30, 0.008), (60, 95, 0.0018), (95, 280, 0.0001))


def picture_of(codec: str, quality: int, image: Images) -> Images:
    """A made-up reconstruction, with errors of up to 20 levels."""
    random = np.random.default_rng(quality + (1000 if codec == "webp" else 0))
    return (image.astype(int) + random.integers(-20, 21, image.shape)).clip(0, 255).astype(np.uint8)


def keep_worst(run: MadeUpRun, codec: str, quality: int) -> None:
    """Keeps image 5 of ``colour``, webp's worst, as a codec restores it."""
    original = run.image(SHAPES["colour"], 5)
    height, width, _ = original.shape
    picture = picture_of(codec, quality, original)
    top, left = choose_window(original, picture)
    cuts = [cut_out(image, top, left) for image in (original, picture)]
    mse = float(((original.astype(float) - picture) ** 2).mean() / 255**2)
    image = StoredImage(5, height, width, top, left, 77, mse, *cuts)
    about = run.about("colour", codec, f"quality={quality}")
    case = WorstCase(**about, worst_of="webp", key=f"{60:024d}", images=(image,), classes={})
    run.store.write_record(f"{quality:024d}", case)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> MadeUpRun:
    """Two lossy codecs and one that restores everything; one image is webp's worst, kept with jpeg's of it."""
    run = MadeUpRun(tmp_path_factory.mktemp("look"), SHAPES, ["jpeg", "webp", "png"])
    for label, shape in SHAPES.items():
        for codec, points in (("jpeg", JPEG), ("webp", WEBP)):
            for quality, size, mse in points:
                task = run.point(label, codec, {"quality": quality}, num_bytes=size, mse=mse, ssim=1 - 10 * mse)
                made = {i: picture_of(codec, quality, run.image(shape, i)) for i in (0, 1)}
                run.store.write_samples(f"{task.id}.npz", made)
        run.point(label, "png", num_bytes=500, mse=0.0, lossless=True)
    keep_worst(run, "webp", 60)
    keep_worst(run, "jpeg", 50)
    return run


@pytest.fixture(scope="module")
def written(run: MadeUpRun) -> Path:
    """The page with this section alone."""
    return quick_report(run, (look,))


@pytest.fixture
def page(written: Path, open_page: Opened) -> Page:
    return ready(open_page(written))


def ready(page: Page) -> Page:
    """Waits until what was chosen last is drawn."""
    page.wait_for_selector("#look[data-ready]")
    return page


def field(page: Page, label: str) -> Locator:
    own = page.locator("label.field").filter(has=page.get_by_text(label, exact=True))
    return own.locator("select, input")


def choose(page: Page, label: str, value: str) -> None:
    field(page, label).select_option(value)
    ready(page)


def choose_points(page: Page, a: tuple[str, int], b: tuple[str, int]) -> None:
    for side, (codec, quality) in (("A", a), ("B", b)):
        choose(page, f"{side}: codec", codec)
        choose(page, f"{side}: point", f"quality={quality}")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    ready(page)


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="How much of A")


def canvas(page: Page, number: int = 0) -> Images:
    """The pixels of a pane as the browser has them, one a pixel of the image at zoom 1: uint8 (H, W, 3)."""
    uri = page.locator(".look-stage canvas").nth(number).evaluate("own => own.toDataURL('image/png')")
    return pixels(uri.partition(",")[2])


def zoom(page: Page, factor: int) -> None:
    field(page, "Zoom").fill(f"{factor}")
    ready(page)


def in_colour(image: Images) -> Images:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def point_texts(page: Page) -> list[str]:
    fields = [field(page, f"{side}: point") for side in "AB"]
    return [field.input_value() if field.count() else "" for field in fields]


# ---- pixels ---------------------------------------------------------------------------------------------------------


def test_the_slider_shows_a_on_the_left_and_b_on_the_right_exactly(page: Page, run: MadeUpRun) -> None:
    for label, shape in SHAPES.items():
        press(page, label)
        choose_points(page, ("jpeg", 10), ("webp", 95))
        zoom(page, 1)
        first = run.image(shape, 0)
        a, b = (in_colour(picture_of(*point, first)) for point in (("jpeg", 10), ("webp", 95)))
        half = shape[1] // 2
        for share, shown in ((100, a), (0, b), (50, np.concatenate([a[:, :half], b[:, half:]], axis=1))):
            slider(page).fill(f"{share}")
            np.testing.assert_array_equal(canvas(page), shown)
    # Keys and the pointer move it.
    zoom(page, 16)
    slider(page).focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert float(slider(page).input_value()) == 40
    before = canvas(page)
    box = page.locator(".look-stage canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 40, steps=3)
    page.mouse.up()
    assert float(slider(page).input_value()) == pytest.approx(90, abs=1)
    assert (canvas(page) != before).any()


def test_another_dataset_is_zoomed_to_fit_unless_the_reader_chose_a_zoom(page: Page, run: MadeUpRun) -> None:
    """Chosen zooms keep pixels crisp, and a picture that is larger than its place can be moved."""
    page.set_viewport_size({"width": 390, "height": 500})
    fitting = {}
    for dataset in ("gray", "colour", "gray"):
        # Drawn once more before the other images are decoded, as when the page changes its size.
        page.get_by_role("button", name=dataset, exact=True).evaluate(
            "button => { button.click(); "
            "document.querySelector('.look-stage input').dispatchEvent(new Event('input')); }"
        )
        ready(page)
        assert page.locator(".look-stage.pans").count() == 0
        fitting[dataset] = int(field(page, "Zoom").input_value())
    assert fitting["gray"] != fitting["colour"]
    choose(page, "B: codec", "original")
    zoom(page, 3)
    slider(page).fill("0")
    first = in_colour(run.image(SHAPES["gray"], 0))
    np.testing.assert_array_equal(canvas(page), first.repeat(3, axis=0).repeat(3, axis=1))
    press(page, "colour")
    zoom(page, 16)
    assert page.locator(".look-stage.pans").count() == 1
    before = canvas(page)
    page.locator(".look-stage").focus()
    page.keyboard.press("ArrowRight")
    assert (canvas(page) != before).any()


def test_errors_are_those_of_the_pixels_and_the_factor_is_said(page: Page, run: MadeUpRun) -> None:
    press(page, "colour")
    choose_points(page, ("jpeg", 50), ("webp", 60))
    press(page, "Errors")
    zoom(page, 1)
    choose(page, "Amplified", "4")
    first = run.image(SHAPES["colour"], 0)
    captions = page.locator(".look-stage figcaption")
    for number, point in enumerate((("jpeg", 50), ("webp", 60))):
        difference = np.abs(first.astype(int) - picture_of(*point, first))
        np.testing.assert_array_equal(canvas(page, number), (4 * difference).clip(max=255))
        assert f"errors ×4, the largest {difference.max()} of 255" in captions.nth(number).inner_text()
    choose(page, "Amplified", "0")
    assert "errors ×8" in captions.first.inner_text()  # 8 · 20 levels still fit


# ---- choosing -------------------------------------------------------------------------------------------------------


def test_presets_choose_the_nearest_point_of_this_image_and_say_how_near(page: Page) -> None:
    choose_points(page, ("jpeg", 50), ("webp", 20))
    choose(page, "Match", "bytes")
    assert point_texts(page) == ["quality=50", "quality=60"]  # 100 and 95 bytes
    near = page.locator(".look-near")
    assert near.inner_text().startswith("B has 5.0 % fewer bytes than A")
    choose(page, "A: point", "quality=90")
    assert point_texts(page) == ["quality=90", "quality=95"]
    choose(page, "Match", "psnr")
    choose(page, "A: point", "quality=10")
    assert point_texts(page) == ["quality=10", "quality=20"]
    assert "its PSNR is 0.97 dB higher" in near.inner_text()  # ten times the log of 0.01 / 0.008
    target = field(page, "Both near (dB)")
    target.fill("37.5")
    target.press("Enter")
    assert point_texts(page) == ["quality=90", "quality=95"]
    choose(page, "B: codec", "png")
    assert "B restores every pixel" in near.inner_text()
    assert "No nearer point is in this page" in near.inner_text()


def test_the_table_has_the_figures_of_the_image_and_thumbnails_change_it(page: Page, run: MadeUpRun) -> None:
    choose(page, "A: codec", "jpeg")
    choose(page, "A: point", "quality=50")
    choose(page, "B: codec", "png")
    cells = [row.inner_text().split("\t")[1:] for row in page.locator(".look-figures tbody tr").all()]
    assert cells[1:5] == [
        ["100", "500"],
        [f"{8 * 100 / 120:.3f}", f"{8 * 500 / 120:.2f}"],
        [f"{-10 * np.log10(0.002):.2f} dB", "every pixel restored"],
        ["0.9800", "1.0000"],
    ]
    choose(page, "B: codec", "original")
    press(page, "image 1")
    slider(page).fill("0")
    zoom(page, 1)
    np.testing.assert_array_equal(canvas(page), in_colour(run.image(SHAPES["gray"], 1)))
    assert "image 1, 10×12 pixels" in page.locator(".look-about").inner_text()


def test_flicker_waits_where_motion_is_unwanted_and_keys_start_it(written: Path, open_page: Opened) -> None:
    page = ready(open_page(written, reduced_motion="reduce"))
    press(page, "Flicker")
    before = canvas(page)
    page.wait_for_timeout(750)
    np.testing.assert_array_equal(canvas(page), before)
    page.locator(".look-stage").focus()
    page.keyboard.down("o")
    original = canvas(page)
    assert (original != before).any()
    page.keyboard.up("o")
    np.testing.assert_array_equal(canvas(page), before)
    page.keyboard.press("f")
    assert page.get_by_role("button", name="Stop the flicker").count() == 1
    page.wait_for_function(
        "() => document.querySelector('.look-stage figcaption').textContent.includes('now the original')"
    )
    np.testing.assert_array_equal(canvas(page), original)


def test_links_open_it_and_it_says_what_the_page_does_not_hold(
    written: Path, run: MadeUpRun, open_page: Opened
) -> None:
    page = ready(open_page(written, "#look?dataset=colour&image=1&a=webp&as=quality%3D20&b=png&view=side"))
    assert "colour, image 1" in page.locator(".look-about").inner_text()
    assert point_texts(page)[0] == "quality=20"
    assert page.locator(".look-stage canvas").count() == 2
    page.evaluate('codecbench.jump("look", {dataset: "colour", image: 5, a: "webp", b: "jpeg"})')
    ready(page)
    assert "image 5" in page.locator(".look-about").inner_text()
    page.evaluate('codecbench.jump("look", {dataset: "gray", image: 7, a: "jpeg", b: "webp"})')
    ready(page)
    assert "Image 7 of gray is not in this page" in page.locator("#look [role=status]").inner_text()
    assert "image=0" in page.evaluate("location.hash")
    press(page, "colour")
    page.locator(".look-worst summary").click()
    page.locator(".look-worst").get_by_role("button", name="image 5").click()
    ready(page)
    assert point_texts(page) == ["quality=60", "quality=50"]
    zoom(page, 1)
    np.testing.assert_array_equal(canvas(page), picture_of("webp", 60, run.image(SHAPES["colour"], 5)))
    pictures = context(run).pictures
    assert pictures.images("colour") == {0, 1}, "other sections do not link to image 5, which two codecs alone have"
    assert pictures.images("none of these") == set()


def test_on_a_phone_everything_fits_and_panes_stand_below_one_another(written: Path, open_page: Opened) -> None:
    page = ready(open_page(written, viewport=PHONE, has_touch=True))
    press(page, "colour")
    press(page, "Side by side")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    first, second = (page.locator(".look-stage canvas").nth(number).bounding_box() for number in (0, 1))
    assert second["y"] >= first["y"] + first["height"]
    assert first["x"] + first["width"] <= PHONE["width"]


# ---- what the page holds --------------------------------------------------------------------------------------------


def section_of(run: MadeUpRun) -> Section:
    with figures_as_stubs():
        return look.section(context(run))


def pixels(strip: str) -> Images:
    """A picture in base64, uint8 (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(strip))).convert("RGB"))


def test_a_small_budget_is_kept_to_and_what_is_left_out_is_said(
    run: MadeUpRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = section_of(run).data
    codecs = {codec["name"]: codec["points"] for codec in everything["datasets"][0]["codecs"]}
    assert [point["strip"] for point in codecs["png"]] == [None], "what is restored is not held twice"
    monkeypatch.setattr(browser, "BUDGET", 9_000)
    found = section_of(run)
    assert sum(map(len, found.data["strips"])) <= 9_000 < sum(map(len, everything["strips"]))
    assert "To keep the page small, it shows of colour" in found.html


def test_a_run_without_pictures_says_so(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"gray": (12, 10, 1)}, ["jpeg"])
    for quality, size, mse in JPEG:
        run.point("gray", "jpeg", {"quality": quality}, num_bytes=size, mse=mse, pictures=False)
    for originals in (True, False):
        found = section_of(run)
        assert found.data is None
        assert "No pictures can be shown: this run kept no reconstructions." in found.html
        if originals:
            shutil.rmtree(tmp_path / "samples")


def test_points_are_near_rates_that_most_codecs_reach() -> None:
    curves = {
        "low": ([0.1, 0.4, 1.6, 6.4], [20, 26, 32, 38]),
        "high": ([1.6, 3.2, 6.4, 25.6], [24, 30, 36, 40]),
        "single": ([0.01], [10]),
    }
    points = pd.DataFrame(
        (codec, f"rank={number}", rate, quality, 8, 0)
        for codec, curve in curves.items()
        for number, (rate, quality) in enumerate(zip(*curve, strict=True))
    )
    points.columns = ["codec", "settings", "bits_per_pixel", "psnr_db", "images", "exact_images"]
    found = sprites.targets(points, 2)
    assert found.rates == pytest.approx([0.1 * 256**0.25, 0.1 * 256**0.75])  # both spans, from 0.1 to 25.6
    assert found.qualities_db == pytest.approx([25, 35])
    shown = {codec: sprites.nearest_points(own, found) for codec, own in points.groupby("codec")}
    assert shown == {"low": ["rank=1", "rank=3"], "high": ["rank=0", "rank=2"], "single": ["rank=0"]}


def test_images_of_several_sizes_and_one_in_gray_make_one_strip() -> None:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, shape, dtype=np.uint8) for shape in ((3, 5, 1), (4, 2, 3))]
    strip = sprites.stacked(images)
    assert strip.shape == (7, 5, 3)
    np.testing.assert_array_equal(strip[:3], np.repeat(images[0], 3, axis=2))
    np.testing.assert_array_equal(strip[3:, :2], images[1])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(sprites.webp(strip)))), strip)
