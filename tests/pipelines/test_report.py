"""Tests of the page made of a folder of captions: what it counts, shows, escapes and refuses."""

import argparse
import base64
import datetime
import hashlib
import io
import statistics
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model.errors import CaptionerError
from pipelines.captions_table import read_captions
from pipelines.report import (
    MAX_BINS,
    histogram,
    median,
    render,
    run,
    smallest,
    summarise,
    with_spread,
)
from pipelines.schemas import CAPTIONED, CAPTIONS, REJECTED, REJECTS

BROWSER, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
SIZES = {"wide.jpg": (640, 320), "tall.png": (90, 270), "small <&'\".jpg": (40, 30)}
TIME = datetime.datetime(2026, 5, 3, 10, 0, tzinfo=datetime.UTC)
SCORES = st.dictionaries(st.integers(-100_000, 100_000), st.integers(1, 10**6), min_size=1)


def row(uri: str, score: float | None = -0.5, model: str = "m1", **more: Any) -> dict[str, Any]:
    """A captioned row, or a rejected one if `more` has a reason."""
    filled = {"caption": "a dog", "score": score} if "reason" not in more else {}
    status = CAPTIONED if filled else REJECTED
    lists: dict[str, list] = {"alternatives": [], "tags": [], "flags": []}
    fixed = {"image_uri": uri, "status": status, "model_fingerprint": model, "captioned_at": TIME}
    return {**fixed, **lists, **filled, **more}


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, CAPTIONS)


def write(folder: Path, rows: list[dict[str, Any]], name: str = "part-0.parquet") -> Path:
    """Writes `rows` as the captioning command would, a partition for each model."""
    for model in {row["model_fingerprint"] for row in rows}:
        part = folder / f"model={model}" / name
        part.parent.mkdir(parents=True, exist_ok=True)
        of_model = [row for row in rows if row["model_fingerprint"] == model]
        pq.write_table(table_of(of_model), part)
    return folder


def draw(path: Path, size: tuple[int, int], orientation: int = 1) -> dict[str, Any]:
    """Draws a picture; returns what its row says of the file."""
    path.parent.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, "teal").save(path, exif=exif)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"sha256": sha256, "width_px": size[0], "height_px": size[1]}


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """Five captioned pictures, one gone and one changed since, and two rejects."""
    pictures = tmp_path / "pictures"
    rows = [row(str(pictures / n), **draw(pictures / n, size)) for n, size in SIZES.items()]
    rows[0].update(
        caption="<script>alert('&')</script>",
        alternatives=[{"caption": "a <b>cat</b>", "score": -0.7}],
        flags=["low_score"],
        score=-2.0,
    )
    rows.append(row(str(pictures / "gone.jpg"), -1.0, sha256="0" * 64))
    changed = draw(pictures / "changed.jpg", (50, 50)) | {"sha256": "0" * 64}
    rows.append(row(str(pictures / "changed.jpg"), -0.4, **changed))
    rows.append(row("/a/broken.jpg", reason="truncated", error="OSError: <i>cut</i> short"))
    rows.append(row("odd://bucket/odd.jpg", reason="empty", error="got no bytes"))
    folder = write(tmp_path / "captions", rows)
    (folder / "_runs").mkdir()
    (folder / "_runs" / "run.json").write_text("{}", encoding="utf-8")
    (folder / "_unfinished.parquet").write_text("cut short", encoding="utf-8")
    return folder


class Page(HTMLParser):
    """A parsed page: its tags, the text of elements with an id, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.by_id: dict[str, str] = {}
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
        name = self.tags[-1][1].get("id") if self.tags else None
        if name and data.strip():
            self.by_id.setdefault(name, data.strip())

    def handle_endtag(self, tag: str) -> None:
        self.text += " "

    def thumbnails(self) -> dict[str | None, Image.Image]:
        """The pictures, decoded, by their alternative texts."""
        decoded = {}
        for attributes in (attributes for tag, attributes in self.tags if tag == "img"):
            kind, data = (attributes["src"] or "").split(",")
            assert kind == "data:image/jpeg;base64"
            with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
                decoded[attributes["alt"]] = image.convert("RGB")
            assert (attributes["width"], attributes["height"]) == tuple(map(str, image.size))
        return decoded


def make(folder: Path, limit: int = 200) -> Page:
    """Runs the command; returns its page."""
    output = folder.parent / "out" / "report.html"
    options = argparse.Namespace(captions=str(folder), output=str(output), limit=limit)
    assert run(options) == 0
    return Page(output.read_text(encoding="utf-8"))


def test_counts_are_shown_and_printed(captions: Path, capsys: pytest.CaptureFixture) -> None:
    page = make(captions)
    wanted = {"images": "7", "captioned": "5", "rejected": "2", "share": "71.4%"}
    assert wanted.items() <= page.by_id.items()
    assert page.by_id["median"] == "\N{MINUS SIGN}0.50"
    assert page.by_id["dates"] == "3 May 2026, 10:00 UTC"
    assert "truncated" in page.text
    assert "got no bytes" in page.text
    printed = capsys.readouterr().out
    assert printed.startswith("7 rows = 5 captioned + 2 rejected; page of 5 captions in ")
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("size", "orientation", "wanted"),
    [
        ((640, 320), 1, (224, 112)),
        ((90, 270), 1, (75, 224)),
        ((300, 100), 6, (75, 224)),
        ((40, 30), 1, (40, 30)),
        ((900, 1), 1, (224, 1)),
    ],
)
def test_thumbnail_has_the_shape_of_its_picture(
    tmp_path: Path, size: tuple[int, int], orientation: int, wanted: tuple[int, int]
) -> None:
    path = tmp_path / "picture.jpg"
    page = make(write(tmp_path / "captions", [row(str(path), **draw(path, size, orientation))]))
    assert {"a dog": wanted} == {alt: image.size for alt, image in page.thumbnails().items()}


def test_text_is_escaped(captions: Path) -> None:
    page = make(captions)
    assert "<script>alert('&')</script>" in page.thumbnails()
    assert "a <b>cat</b>" in page.text
    assert "OSError: <i>cut</i> short" in page.text
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {"b", "i"} & {tag for tag, _ in page.tags}
    titles = [attributes.get("title") for _, attributes in page.tags]
    assert str(captions.parent / "pictures" / "small <&'\".jpg") in titles


def test_captions_of_scripts_from_right_to_left_are_set_so(tmp_path: Path) -> None:
    """Else their full stop is at the wrong end."""
    caption = "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER NUN} ."
    others = [{"caption": caption, "score": -1.0}]
    page = make(write(tmp_path / "captions", [row("/a.jpg", caption=caption, alternatives=others)]))
    assert ("p", {"class": "caption", "dir": "auto"}) in page.tags
    assert [tag for tag, _ in page.tags].count("bdi") == len(others) + 1, "and the name"


def test_names_of_scripts_from_right_to_left_are_set_apart(tmp_path: Path) -> None:
    """Else what follows them is drawn between their words."""
    member = row("/a.zip!/1.jpg", container="/a.zip", member="1.jpg")
    page = make(write(tmp_path / "captions", [member, row("/b.jpg", reason="empty")]))
    assert [tag for tag, _ in page.tags].count("bdi") == 3, "member, archive and reject"


def test_members_of_one_name_are_told_apart_by_their_archives(tmp_path: Path) -> None:
    rows = [
        row(f"/a/{shard}.tar!/1.jpg", container=f"/a/{shard}.tar", member="1.jpg")
        for shard in ("00", "01")
    ]
    text = make(write(tmp_path / "captions", rows)).text
    assert "1.jpg  in 00.tar" in text
    assert "1.jpg  in 01.tar" in text


def test_page_loads_nothing(captions: Path) -> None:
    for _, attributes in make(captions).tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")


def test_missing_and_changed_pictures_are_told(captions: Path) -> None:
    page = make(captions)
    assert page.text.count("picture not found") == 2
    assert page.text.count("the file has changed since") == 1


def test_a_picture_of_which_two_versions_were_captioned_is_shown_with_its_own_row(
    tmp_path: Path,
) -> None:
    now = draw(tmp_path / "a.jpg", (40, 30))
    uri = str(tmp_path / "a.jpg")
    before = row(uri, -3.0, caption="what it was", **now | {"sha256": "0" * 64})
    others = [row(f"/{number}.jpg", -0.1, sha256="0" * 64) for number in range(6)]
    after = row(uri, -2.0, caption="it is", **now)
    page = make(write(tmp_path / "captions", [before, after, *others]))
    assert list(page.thumbnails()) == ["it is"]
    assert page.text.count("the file has changed since") == 1


@pytest.mark.parametrize("uri", ["nosuch://bucket/a.jpg", "/a\0b.jpg", "/", "\N{SNOWMAN}"])
def test_odd_uris_do_no_harm(tmp_path: Path, uri: str) -> None:
    page = make(write(tmp_path / "captions", [row(uri, None)]))
    assert "picture not found" in page.text
    assert "no score" in page.text


def test_a_reject_of_another_program_may_lack_its_reason(tmp_path: Path) -> None:
    text = make(write(tmp_path / "captions", [row("/a.jpg", reason=None)])).text
    assert text.count("unknown") == 2, "in the counts and in the list"


def test_a_picture_that_cannot_be_decoded_here_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"of a format that was known there")
    sha256 = hashlib.sha256(b"of a format that was known there").hexdigest()
    page = make(write(tmp_path / "captions", [row(str(tmp_path / "a.jpg"), sha256=sha256)]))
    assert "picture not found" in page.text


def test_surrogates_are_written_as_escapes() -> None:
    summary, shown = summarise(iter([]), 1)
    assert r"caf\udce9" in render("caf\udce9", summary, shown)


def test_models_are_counted_apart(tmp_path: Path) -> None:
    rows = [row(f"/{i}.jpg", model="1234" if i else "<m>") for i in range(4)]
    page = make(write(tmp_path / "captions", [*rows, row("/x.jpg", model="<m>", reason="empty")]))
    assert "1234 3 0 <m> 1 1" in " ".join(page.text.split())
    assert page.text.count("1234") == 1 + 3, "once in the table, once on each card"


def test_models_of_one_bundle_are_told_apart(tmp_path: Path) -> None:
    names = [f"0123456789abcdef{end}" for end in ("", "-captions1-tags0", "-openvino")]
    page = make(write(tmp_path / "captions", [row("/a.jpg", model=name) for name in names]))
    words = page.text.split()
    for shown in ("0123456789ab", "0123456789ab-captions1-tags0", "0123456789ab-openvino"):
        assert words.count(shown) == 2, "in the table and on its card"


@pytest.mark.parametrize("limit", [1, 3, 8, 40])
def test_choice_is_bounded_and_does_not_depend_on_files(limit: int) -> None:
    times = [TIME + datetime.timedelta(hours=(7 * i) % 100) for i in range(100)]
    rows = [row(f"/{i}.jpg", -i / 100, captioned_at=times[i]) for i in range(100)]
    rows += [row(f"/{i}.png", reason="empty") for i in range(100)]
    table = table_of(rows)
    parts = [table.slice(start, 7) for start in range(0, 200, 7)]
    summary, shown = summarise(iter([table]), limit)
    assert (summary, shown) == summarise(iter(parts[::-1]), limit)
    assert summary.times == (min(times), max(times))
    assert [r["image_uri"] for r in shown.lowest] == [f"/{99 - i}.jpg" for i in range(limit // 4)]
    uris = {r["image_uri"] for r in shown.lowest + shown.others}
    assert len(uris) == len(shown.lowest) + len(shown.others) == len(shown.rejects) == limit


def test_a_quarter_of_a_small_archive_is_its_lowest_scores() -> None:
    rows = [row(f"/{i}.jpg", -i / 100) for i in range(5)]
    _, shown = summarise(iter([table_of(rows)]), 200)
    assert [r["image_uri"] for r in shown.lowest] == ["/4.jpg", "/3.jpg"]
    assert [r["image_uri"] for r in shown.others] == ["/0.jpg", "/1.jpg", "/2.jpg"]


def test_what_has_no_finite_score_is_shown_but_is_none_of_the_lowest() -> None:
    scores = [None, float("nan"), -float("inf"), -1.0, -2.0]
    rows = [row(f"/{score}.jpg", score) for score in scores]
    summary, shown = summarise(iter([table_of(rows)]), 4)
    assert [r["image_uri"] for r in shown.lowest] == ["/-2.0.jpg"]
    assert len(shown.others) == 3
    assert summary.scores == {-1000: 1, -2000: 1}


def test_scores_are_counted_in_thousandths_within_bounds() -> None:
    rows = [row(f"/{score}.jpg", score) for score in (-0.7, -0.0006, -50.0, -1e30)]
    summary, _ = summarise(iter([table_of(rows)]), 1)
    assert summary.scores == {-700: 1, -1: 1, -50_000: 1, -100_000: 1}


def test_a_picture_that_two_models_captioned_is_shown_with_both_captions() -> None:
    rows = [row("/a.jpg", -0.5 * i, model) for i, model in enumerate("mn")]
    _, shown = summarise(iter([table_of(rows)]), 4)
    assert [r["model_fingerprint"] for r in shown.lowest + shown.others] == ["n", "m"]


def test_of_equal_rows_the_same_are_chosen_whatever_their_order() -> None:
    rows = with_spread(table_of([row("/a.jpg", model=str(model)) for model in range(9)]))
    for number in range(9):
        turned = pa.concat_tables([rows.slice(number), rows.slice(0, number)])
        assert smallest(turned, "score", 1)["model_fingerprint"].to_pylist() == ["0"]


def test_what_is_shown_comes_from_all_over_the_archive() -> None:
    rows = table_of([row(f"/{i:05d}.jpg") for i in range(4000)])
    _, shown = summarise(iter([rows]), 40)
    for some in (shown.lowest, shown.others):
        names = sorted(r["image_uri"] for r in some)
        assert names[0] < "/01000.jpg" < "/03000.jpg" < names[-1]


@given(SCORES)
def test_histogram_holds_every_score(scores: dict[int, int]) -> None:
    low, step, counts = histogram(scores)
    assert 1 <= len(counts) <= MAX_BINS
    assert low % step == 0
    assert low < 0 <= low + step * len(counts)
    expected: Counter[int] = Counter()
    for score, count in scores.items():
        (index,) = (i for i in range(len(counts)) if 0 < score - low - i * step <= step)
        expected[index] += count
    assert counts == [expected[index] for index in range(len(counts))]


@given(st.lists(st.integers(-3000, 0), min_size=1))
def test_median_is_that_of_all_scores(scores: list[int]) -> None:
    assert median(Counter(scores)) == pytest.approx(statistics.median(scores) / 1000)


def test_empty_files_make_an_empty_page(tmp_path: Path) -> None:
    pq.write_table(CAPTIONS.empty_table(), tmp_path / "part-0.parquet")
    assert make(tmp_path).by_id["images"] == "0"


def test_captions_of_a_cloud_are_read_through_beam(
    captions: Path, memory: dict[str, bytes]
) -> None:
    for path in captions.rglob("*.parquet"):
        memory[f"memory://bucket/captions/{path.relative_to(captions)}"] = path.read_bytes()
    memory["memory://bucket/captions/_runs/a.parquet"] = b"no part of it"
    memory["memory://bucket/captions/model=a/_b.parquet"] = b"no part of it"
    memory["memory://bucket/captions/model=a/._c.parquet"] = b"what macOS leaves"
    tables = read_captions("memory://bucket/captions")
    here = pa.concat_tables(read_captions(str(captions)))
    assert pa.concat_tables(tables).equals(here)
    assert len(here) > 0
    with pytest.raises(CaptionerError, match="memory://bucket/nothing: got no Parquet file"):
        next(read_captions("memory://bucket/nothing"))


def test_one_file_of_captions_is_enough(captions: Path) -> None:
    part = next(captions.rglob("part-*.parquet"))
    assert pa.concat_tables(read_captions(str(part))).num_rows == pq.read_metadata(part).num_rows


@pytest.mark.parametrize("program", ["duckdb", "pandas", "polars"])
def test_rows_that_another_program_chose_are_shown(
    captions: Path, tmp_path: Path, program: str
) -> None:
    chosen = tmp_path / "chosen" / "rows.parquet"
    chosen.parent.mkdir()
    source = f"{captions}/model=*/part-*.parquet"
    if program == "duckdb":
        duckdb.sql(f"copy (from read_parquet('{source}') order by score) to '{chosen}'")
    elif program == "pandas":
        pq.read_table(captions).to_pandas().to_parquet(chosen)
    else:
        pl.read_parquet(source).write_parquet(chosen)
    expected = pa.concat_tables(read_captions(str(captions))).sort_by("image_uri")
    found = pa.concat_tables(read_captions(str(chosen))).sort_by("image_uri")
    assert found.to_pylist() == expected.to_pylist()
    assert make(chosen).by_id == make(captions).by_id


@pytest.mark.parametrize(
    ("name", "schema", "message"),
    [
        (None, None, "captions: got no such folder; expected a folder made by captioner caption"),
        ("_part-0.parquet", CAPTIONS, "captions: got no Parquet file"),
        ("x.parquet", REJECTS, "x.parquet: columns missing: container, member"),
        (
            "x.parquet",
            CAPTIONS.set(0, pa.field("image_uri", pa.list_(pa.string()))),
            "x.parquet: column image_uri: got list<element: string>, expected string",
        ),
        ("cut.parquet", None, "cut.parquet: "),
    ],
)
def test_wrong_input_is_told(
    tmp_path: Path, name: str | None, schema: pa.Schema | None, message: str
) -> None:
    folder = tmp_path / "captions"
    if name:
        folder.mkdir()
        (folder / name).touch()
        if schema:
            pq.write_table(schema.empty_table(), folder / name)
    with pytest.raises(CaptionerError, match=message):
        make(folder)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("image_uri", None, "column image_uri: got a null, expected a value in every row"),
        ("status", None, "column status: got a null"),
        ("model_fingerprint", None, "column model_fingerprint: got a null"),
        ("captioned_at", None, "column captioned_at: got a null"),
        ("captioned_at", 1 << 62, "column captioned_at: .*, expected years to 9999"),
    ],
)
def test_rows_that_lack_what_every_row_has_are_told(
    tmp_path: Path, column: str, value: int | None, message: str
) -> None:
    index = CAPTIONS.names.index(column)
    kind = CAPTIONS.field(index).type
    values = pa.array([None], kind) if value is None else pa.array([value]).cast(kind)
    rows = table_of([row("/a.jpg")]).set_column(index, pa.field(column, kind), values)
    pq.write_table(rows, tmp_path / "edited.parquet")
    with pytest.raises(CaptionerError, match=rf"edited\.parquet: {message}"):
        make(tmp_path)


def test_wrong_options_are_told(captions: Path) -> None:
    with pytest.raises(CaptionerError, match="--limit: got 0, expected 1 or more"):
        make(captions, limit=0)
    (captions.parent / "out").touch()
    with pytest.raises(CaptionerError, match="choose another file"):
        make(captions)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless browser that has never run before."""
    if not (BROWSER.exists() and DRIVER.exists()):
        pytest.skip(f"no browser: {BROWSER} and {DRIVER} come with chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    flags = "headless=new no-sandbox disable-gpu no-first-run disable-background-networking"
    for flag in (*flags.split(), "disable-component-update", "disable-sync"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


def test_page_in_a_browser(captions: Path, browser: Any) -> None:
    write(captions, [row("/a/Ku\u0308he.jpg", caption="a cow")], "part-1.parquet")
    make(captions)
    browser.get((captions.parent / "out" / "report.html").as_uri())
    widths = browser.execute_script("return [...document.images].map(i => i.naturalWidth)")
    assert sorted(widths) == [40, 75, 224]
    for width in (400, 1280):
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        root = "const root = document.documentElement; return "
        assert browser.execute_script(f"{root} innerWidth") == width
        assert browser.execute_script(f"{root} root.scrollWidth <= root.clientWidth")
    # The second, as a keyboard writes the name whose umlaut is two signs.
    for wanted, found in (("ALERT('", "<script>alert('&')</script>"), ("K\u00dcHE", "a cow")):
        box = browser.find_element("css selector", "input")
        box.clear()
        box.send_keys(wanted)
        shown = browser.find_elements("css selector", ".card:not([hidden]) .caption")
        assert [caption.text for caption in shown] == [found]
    assert browser.get_log("browser") == []
