"""The report in a real browser: every page, quietly and offline; counts beside SQL; text as text; keyboard, names, contrast."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import Tab, lacking, require_browser, running_browser
from browser_scripts import CONTRAST, FOCUSABLE, HAS_FOCUS, PIXELS, SHOWS_FOCUS
from browser_worlds import HOSTILE, MARKUP, OUTCOMES, SHOWN, TITLE, Reports, address, cases, counted, make_reports
from report_worlds import LABELS, TEXT_AT

from superact.cli.options import spans
from superact.figures.samples import token_scores
from superact.query.session import quoted

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = {"wide": (1280, 900), "phone": (360, 780)}
SCHEMES = ("light", "dark")
PAGES = {
    "overview": "Overview",
    "comparison": "Comparison",
    "layers": "Layers",
    "distributions": "Distributions",
    "samples": "Samples",
}
EVIL = LABELS[2]


@pytest.fixture(scope="module", autouse=True)
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    require_browser()
    return make_reports(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as found:
        yield found


@pytest.fixture(scope="module")
def tabs(browser: Browser) -> Iterator[dict[tuple[str, str], Tab]]:
    """A tab for every size and scheme."""
    found = {
        (size, scheme): Tab(browser, *extent, scheme=scheme) for size, extent in SIZES.items() for scheme in SCHEMES
    }
    yield found
    for tab in found.values():
        tab.close()


@pytest.fixture(params=[(size, scheme) for size in SIZES for scheme in SCHEMES], ids="-".join)
def every(request: pytest.FixtureRequest, tabs: dict[tuple[str, str], Tab]) -> Iterator[Tab]:
    yield from _quiet(tabs[request.param])


@pytest.fixture
def tab(tabs: dict[tuple[str, str], Tab]) -> Iterator[Tab]:
    yield from _quiet(tabs["wide", "light"])


def _quiet(tab: Tab) -> Iterator[Tab]:
    """Whatever a test does, nothing may be complained of and nothing asked for outside of the report."""
    tab.complaints.clear()
    yield tab
    assert tab.complaints == []


def test_many_layers_are_written_as_the_command_line_writes_them(tab: Tab, reports: Reports) -> None:
    tab.open(reports.whole)
    for layers in ([], [3], [3, 6, 9, 12], [2, 1, 0], [0, 1, 2, 3], [11, 1, 2, 3, 4, 6, 8, 9, 10], list(range(43))):
        assert tab.page.evaluate("(layers) => superact.spans(layers)", layers) == spans(layers, ", ")


def test_without_a_browser_tests_are_skipped_and_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lacking() is None
    monkeypatch.setenv("SUPERACT_CHROMIUM", "/nowhere/chromium")
    assert "SUPERACT_CHROMIUM" in str(lacking())
    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception, match="package chromium"):
        require_browser()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="package chromium"):
        require_browser()


# -- every page -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_every_dataset_is_shown(every: Tab, reports: Reports, page: str) -> None:
    pairs = reports.session.sql("SELECT DISTINCT dataset, model FROM selection ORDER BY ALL").rows()
    for dataset, model in pairs if page != "overview" else pairs[:1]:
        every.open(reports.whole, f"#/{page}?dataset={dataset}&model={model}")
        assert every.texts("h1") == [PAGES[page]]
        assert every.texts(".problem") == []
        assert every.data("html", "ready") == [page]
        drawn = every.page.eval_on_selector_all(".chart", "all => all.map((own) => own.querySelectorAll('svg').length)")
        assert drawn == [1] * {"comparison": 1, "layers": 3, "distributions": 1}.get(page, 0)
        current = every.page.eval_on_selector_all("#nav a[aria-current=page]", "all => all.map((a) => a.textContent)")
        assert current == [PAGES[page]]
        wide, view = every.page.evaluate("[document.scrollingElement.scrollWidth, window.innerWidth]")
        assert wide <= view


def test_what_the_title_says(browser: Browser, reports: Reports) -> None:
    tab = Tab(browser).open(reports.whole, "#/layers")
    assert tab.text("#report-title") == TITLE and tab.page.title() == f"Layers – {TITLE}"
    tab.open(reports.whole, "#/overview")
    assert tab.page.title() == f"Overview – {TITLE}"
    tab.close()
    assert tab.complaints == []


def test_nothing_is_asked_for_outside_of_the_folder(browser: Browser, reports: Reports) -> None:
    # Every test watches its requests; here each kind of file is asked for at least once.
    tab = Tab(browser)
    for choices in ("layers", "samples?dataset=pics&sample=2", "distributions?dataset=notes"):
        tab.open(reports.whole, f"#/{choices}")
    tab.close()
    assert tab.complaints == []
    assert all(url.startswith((f"{reports.whole.as_uri()}/", "data:,")) for url in tab.requests)
    for part in ("/index.html", "/style.css", "/js/", "/vendor/vega.js", "/data/tokens/", "/img/"):
        assert any(part in url for url in tab.requests), part


def test_no_file_names_a_source_elsewhere(reports: Reports) -> None:
    source = re.compile(
        r"""(?:\b(?:src|href|srcset|data|action|poster)\s*=\s*["']?|url\(\s*["']?|@import\s+["']?"""
        r"""|"(?:url|href|src)"\s*:\s*")\s*(?:https?:)?//""",
        re.I,
    )
    assert source.search('<img src="//far.example/x">') and source.search('{"url":"https://far.example"}')
    for folder in (reports.whole, reports.sampled, reports.tight):
        for path in folder.rglob("*"):
            if path.suffix in (".html", ".css", ".js") and path.parent.name != "vendor":
                text = path.read_text(encoding="utf-8")
                assert not source.search(text), path
                # Addresses of namespaces and of nothing else are part of the library of charts alone.
                assert "data" in path.relative_to(folder).parts or not re.search(r"https?://", text), path


def test_identities_are_loaded_when_they_are_opened(tab: Tab, reports: Reports) -> None:
    tab.open(reports.whole)
    assert tab.of("#identity-table").count() == 0
    tab.of("#identities summary").click()
    tab.of("#identity-table").wait_for()
    published = reports.session.warehouse.state().partitions
    assert tab.of("#identity-table tbody tr").count() == len(published)
    tab.of("#identities summary").click()
    assert not tab.of("#identity-table").is_visible()


def test_the_policy_holds(browser: Browser, reports: Reports) -> None:
    """A script in the page itself, one from elsewhere, a picture from elsewhere and eval: nothing of it happens."""
    tab = Tab(browser).open(reports.whole)
    tried = """() => {
        const add = (tag, changes) => document.body.append(Object.assign(document.createElement(tag), changes));
        add("script", { textContent: "window.hacked = 1" });
        add("script", { src: "https://far.example/x.js" });
        add("img", { src: "https://far.example/x.png" });
        add("link", { rel: "stylesheet", href: "https://far.example/x.css" });
        add("iframe", { src: "https://far.example/x.html" });
        window.fetch("https://far.example/x.json").catch(() => {});
        const form = document.createElement("div");
        form.innerHTML = "<img src='data:,' onerror='window.hacked = 1'>";
        document.body.append(form);
        // In a task of its own: what is asked through the debugger may use eval.
        return new Promise((resolve) => setTimeout(() => {
            try { resolve(window.eval("window.hacked = 1")); } catch (error) { resolve(error.name); }
        }));
    }"""
    assert tab.page.evaluate(tried) == "EvalError"
    tab.page.wait_for_function("() => document.images[document.images.length - 1].complete")
    assert tab.page.evaluate("() => typeof window.hacked") == "undefined"
    forbidden = {found[1] for line in tab.complaints if (found := re.search(r"policy: (\S+) forbids", line))}
    assert forbidden >= {
        *("script-src-elem", "script-src-attr", "script-src", "img-src", "style-src-elem", "frame-src", "connect-src"),
    }
    elsewhere = {url for url in tab.requests if "far.example" in url}
    assert {f"failed: {url}: csp" for url in elsewhere} <= set(tab.complaints), "asked for, and stopped by the policy"
    tab.close()


# -- counts and lists -----------------------------------------------------------------------------------------------------


def shown_counts(tab: Tab) -> dict[str, int]:
    return {outcome: int(tab.text(f"#count-{outcome}").replace(",", "")) for outcome in OUTCOMES}


def listed(tab: Tab, outcome: str) -> list[int]:
    """The samples of a list, all pages of it opened."""
    more = tab.of(f"[data-outcome={outcome}] button.more")
    while more.is_visible():
        more.click()
    return [int(sample) for sample in tab.data(f"[data-list={outcome}] > li", "sample")]


def test_the_cases_are_of_every_kind(reports: Reports) -> None:
    found = cases(reports)
    assert {case["dataset"] for case in found} == {"d", "notes", "pics", "spikes"}
    assert len({case["detector"] for case in found}) >= 5 and len({case["delta"] for case in found}) >= 8


@pytest.mark.parametrize("number", range(20))
def test_counts_and_lists_are_those_of_sql(tab: Tab, reports: Reports, number: int) -> None:
    case = cases(reports)[number]
    wanted = {outcome: case[outcome] for outcome in OUTCOMES}
    samples = counted(reports, case)
    assert {outcome: len(own) for outcome, own in samples.items()} == wanted
    tab.open(reports.whole, address(case))
    assert tab.text("#samples-note") == ""
    assert shown_counts(tab) == wanted
    for name in ("precision", "recall", "f1"):
        assert tab.text(f"#count-{name}") == f"{case[name]:.3f}"
    assert {outcome: listed(tab, outcome) for outcome in OUTCOMES} == samples
    assert "All " in tab.text("#scope") and "sampled" not in tab.data("#scope", "sampled")


@pytest.mark.parametrize("number", range(20))
def test_counts_of_a_sampled_report_are_of_all_samples(tab: Tab, reports: Reports, number: int) -> None:
    case = cases(reports)[number]
    samples = counted(reports, case)
    total = sum(map(len, samples.values()))
    tab.open(reports.sampled, address(case))
    assert shown_counts(tab) == {outcome: case[outcome] for outcome in OUTCOMES}
    assert f"{SHOWN} of {total} test samples are shown; counts are of all {total}." in tab.text("#scope")
    assert tab.of("#scope").is_visible()
    kept = {outcome: listed(tab, outcome) for outcome in OUTCOMES}
    shown = {sample for own in kept.values() for sample in own}
    assert len(shown) == SHOWN < total
    for outcome, own in kept.items():
        assert own == [sample for sample in samples[outcome] if sample in shown]
        said = tab.text(f"#list-{outcome}-title")
        assert f"({len(own)} of {case[outcome]})" in said or len(own) == case[outcome]


def test_an_overview_says_what_is_sampled(tab: Tab, reports: Reports) -> None:
    tab.open(reports.sampled)
    said = tab.texts("#notes li")
    for name, total in (("Notes", 20), ("Pics", 20), (MARKUP, 19)):
        assert any(line.startswith(f"{SHOWN} of {total} test samples of {name} are shown") for line in said)
    tab.open(reports.whole)
    assert tab.text("#notes") == "Nothing: every test sample is here, with every score."


def test_a_label_that_cannot_be_calibrated_says_so(tab: Tab, reports: Reports) -> None:
    tab.open(reports.whole, "#/samples?dataset=d&model=m&set=linsep&label=cube&layer=1&detector=superactivator")
    assert "could not be calibrated" in tab.text("#samples-note")
    assert not tab.of("#counts").is_visible() and not tab.of("#lists").is_visible()
    tab.open(reports.whole, "#/samples?dataset=d&model=m&set=linsep&label=cube&layer=1&detector=cls")
    assert tab.of("#counts").is_visible() and tab.of("#lists").is_visible()


def test_a_search_narrows_the_lists_and_not_the_counts(tab: Tab, reports: Reports) -> None:
    (case,) = cases(reports, 1, "dataset = 'notes' AND detector = 'superactivator'")
    tab.open(reports.whole, address(case))
    before = shown_counts(tab)
    facts = reports.session.sql("SELECT sample, text FROM samples WHERE dataset = 'notes' AND split = 'test'").rows()
    for words in ("WORD3", "<IMG", "#14", "no such text"):
        tab.of("#search").fill(words)
        found = {sample for outcome in OUTCOMES for sample in listed(tab, outcome)}
        assert found == {sample for sample, text in facts if words.lower() in text.lower() or words == f"#{sample}"}
        assert tab.text("#search-hits") == f"{len(found)} of 20 match" or len(found) in (0, 1)
        assert shown_counts(tab) == before
    tab.of("#search").fill("")
    assert tab.text("#search-hits") == ""


# -- a sample -------------------------------------------------------------------------------------------------------------


def tokens_said(tab: Tab, words: str) -> list[int]:
    """The numbers of the tokens that the list of an open sample calls so."""
    lines = zip(tab.data("#token-list li[data-token]", "token"), tab.texts("#token-list li[data-token]"), strict=True)
    return sorted(int(number) for number, text in lines if words in text.rpartition(": ")[2].split(", "))


@pytest.mark.parametrize("where", ["dataset = 'pics'", "dataset = 'notes'", "dataset = 'spikes'", "dataset = 'd'"])
def test_superactivators_are_those_of_token_scores(tab: Tab, reports: Reports, where: str) -> None:
    found = cases(reports, 4, f"{where} AND detector = 'superactivator'")
    for case in found:
        keys = {"dataset": case["dataset"], "model": case["model"], "layer": case["layer"], "concept_set": case["set"]}
        samples = [sample for own in counted(reports, case).values() for sample in own[:2]]
        wanted = token_scores(
            reports.session, **keys, label=case["label"], samples=samples, delta=case["delta"]
        ).to_dicts()
        for sample in samples:
            own = [row for row in wanted if row["sample"] == sample]
            tab.open(reports.whole, address(case, sample=sample))
            for column, words, attribute in (
                ("superactivator", "superactivator", "superactivators"),
                ("in_concept", "in concept", "truth"),
            ):
                numbers = sorted(row["token"] for row in own if row[column])
                assert tokens_said(tab, words) == numbers
                assert tab.data("#overlay, #text", attribute) == [str(len(numbers))]
            if case["dataset"] == "pics":
                continue
            assert [int(number) for number in tab.data("#text .token", "token")] == [row["token"] for row in own]
            for column, name in (("superactivator", "superactivator"), ("in_concept", "truth")):
                marked = [int(number) for number in tab.data(f"#text .token.{name}", "token")]
                assert marked == [row["token"] for row in own if row[column]]


def test_outlines_are_drawn_around_superactivators(tab: Tab, reports: Reports) -> None:
    """On the canvas: lime where a superactivator ends and none begins, yellow for the truth, colours under neither alone."""
    (case,) = cases(reports, 1, "dataset = 'pics' AND detector = 'superactivator' AND delta = 0.5")
    keys = {"dataset": "pics", "model": case["model"], "layer": case["layer"], "concept_set": case["set"]}
    samples = counted(reports, case)["tp"]
    rows = token_scores(reports.session, **keys, label=case["label"], samples=samples, delta=0.5).to_dicts()
    inside = {sample: [r for r in rows if r["sample"] == sample and r["superactivator"]] for sample in samples}
    sample = next(sample for sample, own in inside.items() if 1 < len(own) < 12)
    tab.open(reports.whole, address(case, sample=sample))
    tab.of("#show-heat").uncheck()
    tab.of("#show-truth").uncheck()
    # By x and y in halves of a patch: centres have odd numbers, the middles of sides one odd and one even number.
    pixels = tab.page.evaluate(PIXELS)
    cells = {(row["col"], row["row"]) for row in inside[sample]}
    for x, y, (red, green, blue, alpha) in pixels:
        if (x % 2, y % 2) == (1, 1):
            assert alpha == 0, "a superactivator is outlined, not filled"
        elif x % 2 != y % 2:
            across = [(x // 2, y // 2), (x // 2 - 1, y // 2) if x % 2 == 0 else (x // 2, y // 2 - 1)]
            is_edge = (across[0] in cells) != (across[1] in cells)
            assert (alpha > 200 and green > 150 > red and blue < 100) == is_edge, (x, y)
    tab.of("#show-heat").check()
    tab.of("#show-truth").check()


@pytest.mark.parametrize(("dataset", "sample"), [("pics", 2), ("notes", 2), ("notes", 8), ("d", None)])
def test_pictures_and_tokens_have_words(tab: Tab, reports: Reports, dataset: str, sample: int | None) -> None:
    (case,) = cases(reports, 1, f"dataset = '{dataset}' AND detector = 'superactivator'")
    sample = next(own[0] for own in counted(reports, case).values() if own) if sample is None else sample
    tab.open(reports.whole, address(case, sample=sample))
    assert tab.page.eval_on_selector_all("img", "all => all.filter((own) => !own.hasAttribute('alt')).length") == 0
    for image in tab.page.eval_on_selector_all(".card img", "all => all.map((own) => own.alt)"):
        assert re.fullmatch(r"Pics sample \d+", image)
    unnamed = "all => all.filter((own) => !(own.getAttribute('aria-label') || '').trim()).length"
    assert tab.page.eval_on_selector_all("canvas, [role=img], svg[role]", unnamed) == 0
    name = tab.of("#overlay, #text").get_attribute("aria-label") or ""
    title = MARKUP if dataset == "d" else dataset.title()
    for part in (f"{title} sample {sample}", case["label"], "score", "superactivator", "in concept"):
        assert part in name
    assert any(own["name"] == name and own["role"] in ("image", "group") for own in tab.accessible())
    if dataset == "pics":
        tab.page.wait_for_function("() => document.querySelector('.picture').naturalWidth > 0")
        return
    if dataset == "notes":
        # The half of a character, which a byte-level tokenizer makes, is a dot.
        assert tab.text("#text").replace("·", "") == TEXT_AT[sample]
    tab.of("#token-list summary").click()
    for title, number in zip(
        tab.page.eval_on_selector_all("#text .token", "all => all.map((own) => own.title)"),
        tab.data("#text .token", "token"),
        strict=True,
    ):
        assert title.startswith(f"token {number}: score ")


def test_moving_delta_moves_counts_lists_and_marks(tab: Tab, reports: Reports) -> None:
    found = cases(
        reports,
        12,
        "dataset = 'notes' AND detector = 'superactivator' AND label = '__proto__' AND concept_set = 'avg' AND layer = 1",
    )
    found.sort(key=lambda case: case["delta"])
    tab.open(reports.whole, "#/layers")
    tab.open(reports.whole, address(found[0], sample=11))
    tab.of("#delta").focus()
    marks = []
    for place, case in enumerate(found):
        if place:
            tab.page.keyboard.press("ArrowRight")
        assert tab.page.evaluate("() => document.activeElement.id") == "delta"
        assert shown_counts(tab) == {outcome: case[outcome] for outcome in OUTCOMES}
        assert tab.data("#counts", "delta") == [str(case["delta"])]
        assert {outcome: listed(tab, outcome) for outcome in OUTCOMES} == counted(reports, case)
        said = tab.of("#delta").get_attribute("aria-valuetext") or ""
        assert said.startswith(f"{case['delta']}") and tab.text("#delta-value") == said
        assert tab.text("#counts-summary").startswith(f"At delta {case['delta']}, ")
        assert f"delta={case['delta']}" in tab.page.url
        marks.append(int(tab.data("#text", "superactivators")[0]))
        tab.of("#delta").focus()
    # A larger delta keeps more of the calibration values above the threshold, hence no fewer superactivators.
    assert marks == sorted(marks) and marks[0] < marks[-1]
    tab.page.keyboard.press("ArrowRight")
    assert tab.data("#counts", "delta") == ["0.95"]
    tab.page.keyboard.press("Home")
    assert tab.data("#counts", "delta") == ["0.02"]
    tab.of("#selected-delta").click()
    assert "selected on cal" in (tab.of("#delta").get_attribute("aria-valuetext") or "")
    assert tab.of("#selected-delta").is_disabled()
    with tab.going():
        tab.page.go_back()
    assert tab.texts("h1") == ["Layers"], "a slider leaves no trail to walk back through"


# -- text is text ---------------------------------------------------------------------------------------------------------


def test_whatever_stands_in_data_is_shown_as_text(tab: Tab, reports: Reports) -> None:
    (case,) = cases(reports, 1, "dataset = 'd' AND detector = 'superactivator'")
    rows = reports.session.sql("SELECT sample, text FROM samples WHERE dataset = 'd' AND split = 'test'").rows()
    texts = dict(rows)
    assert len({word for word in HOSTILE for text in texts.values() if word in text}) == len(HOSTILE)
    tab.open(reports.whole, address(case))
    for outcome in OUTCOMES:
        for sample in listed(tab, outcome):
            words = tab.text(f"[data-list={outcome}] > li[data-sample='{sample}'] .words")
            assert words == " ".join(texts[sample].split()[:14]), "all of so short a text"
    assert tab.texts("#pick-pair option:checked") == [f"{MARKUP} | m"]
    for sample, text in texts.items():
        tab.open(reports.whole, address(case, sample=sample))
        assert tab.text("#text") == text
        assert tab.page.eval_on_selector(
            "#text", "own => [...own.querySelectorAll('*')].every((e) => e.matches('span'))"
        )
    tab.open(reports.whole)
    assert MARKUP in tab.texts("#datasets tbody th") and "<u>free</u>" in tab.texts("#datasets tbody td")
    assert tab.page.evaluate(
        "() => [typeof window.hacked, document.querySelectorAll('main script, main u, main b').length]"
    ) == ["undefined", 0]


@pytest.mark.parametrize("page", ["comparison", "layers", "distributions", "samples"])
def test_labels_and_names_are_shown_as_text(tab: Tab, reports: Reports, page: str) -> None:
    from urllib.parse import quote

    tab.open(reports.whole, f"#/{page}?dataset=pics&model=viewer&set=avg&label={quote(EVIL)}")
    assert tab.texts(".problem") == [] and "hacked" not in tab.page.title()
    if page in ("distributions", "samples"):
        assert tab.texts("#pick-label option:checked") == [EVIL]
        assert sorted(tab.texts("#pick-label option")) == sorted(LABELS)
    if page == "layers":
        assert sorted(set(tab.texts("#best-table tbody th"))) == sorted(LABELS)
    if page == "distributions":
        assert EVIL in tab.text("#distribution-said") and EVIL in tab.text("#separation-table caption")
    assert tab.page.evaluate("() => document.querySelectorAll('main script, main img[onerror]').length") == 0


def test_a_label_that_is_the_empty_text_can_be_chosen(tab: Tab, reports: Reports) -> None:
    (case,) = cases(reports, 1, "dataset = 'spikes' AND label = ''")
    tab.open(reports.whole, address(case))
    assert shown_counts(tab) == {outcome: case[outcome] for outcome in OUTCOMES}
    tab.open(reports.whole, "#/samples?dataset=spikes&model=m&set=sae&label=shape%3A%3Acube")
    with tab.going():
        tab.of("#pick-label").select_option("")
    assert tab.of("#pick-label").input_value() == "" and "label=&" in tab.page.url


# -- where one is: addresses, keys, names ---------------------------------------------------------------------------------


def test_an_address_brings_back_the_choices(browser: Browser, tab: Tab, reports: Reports) -> None:
    (case,) = cases(reports, 1, "dataset = 'pics' AND detector = 'mean_token' AND concept_set = 'linsep'")
    tab.open(reports.whole, "#/samples?dataset=notes")
    for name, value in (
        ("pair", "pics viewer"),
        ("set", "linsep"),
        ("label", case["label"]),
        ("layer", str(case["layer"])),
        ("detector", "mean_token"),
    ):
        if tab.of(f"#pick-{name}").input_value() != value:
            with tab.going():
                tab.of(f"#pick-{name}").select_option(value)
    assert tab.text("#samples-note") == ""
    samples = counted(reports, case)
    outcome = next(name for name in OUTCOMES if samples[name])
    with tab.going():
        tab.of(f"[data-list={outcome}] > li a").first.click()
    tab.of("#delta").focus()
    tab.page.keyboard.press("End")
    tab.of("#search").fill("1")
    seen = """() => [...document.querySelectorAll("main select, main input[type=search], main input[type=range]")]
        .map((own) => [own.id, own.value])
        .concat([[document.querySelector("#sample").dataset.sample, document.querySelector("#counts").dataset.delta]])
        .concat([...document.querySelectorAll("dd, h2, h3")].map((own) => ["", own.textContent]))"""
    before = tab.page.evaluate(seen)
    fresh = Tab(browser).open(reports.whole, tab.page.evaluate("() => window.location.hash"))
    assert fresh.page.evaluate(seen) == before
    fresh.close()
    assert fresh.complaints == []


def test_back_and_forward(tab: Tab, reports: Reports) -> None:
    tab.open(reports.whole, "#/overview")
    for page in ("comparison", "layers", "samples"):
        with tab.going():
            tab.of(f"#nav a[data-page={page}]").click()
        assert tab.data("html", "ready") == [page]
        assert tab.page.evaluate("() => document.activeElement.tagName") == "H1", "a new page is read from its heading"
    with tab.going():
        tab.of("[data-list=tn] > li a").first.click()
    assert tab.of("#sample").is_visible()
    for page, is_open in (("samples", False), ("layers", None), ("comparison", None)):
        with tab.going():
            tab.page.go_back()
        assert tab.texts("h1") == [PAGES[page]]
        if is_open is not None:
            assert tab.of("#sample").is_visible() == is_open
    with tab.going():
        tab.page.go_forward()
    assert tab.texts("h1") == ["Layers"]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ("dataset=nowhere", "There is no dataset nowhere here."),
        ("dataset=notes&label=<i>none</i>", "There is no label <i>none</i> here."),
        ("dataset=notes&set=avg&layer=99", "There is no layer 99 here."),
        ("dataset=notes&detector=toString", "There is no detector toString here."),
        ("dataset=pics&sample=1", "Sample 1 is not among those shown."),
    ],
)
def test_what_is_not_there_is_said(tab: Tab, reports: Reports, choices: str, said: str) -> None:
    from urllib.parse import quote

    tab.open(reports.whole, f"#/samples?{quote(choices, safe='=&')}")
    assert said in tab.text("#samples-note")
    assert tab.of("#counts").is_visible()
    tab.open(reports.whole, "#/samples?dataset=notes")
    assert said not in tab.text("#samples-note")


def test_an_address_that_means_nothing_shows_the_overview(tab: Tab, reports: Reports) -> None:
    for hash in ("#/nothing", "#nothing", "#/__proto__", "#/constructor?x=1"):
        tab.open(reports.whole, hash)
        assert tab.texts("h1") == ["Overview"]


@pytest.mark.parametrize("page", PAGES)
def test_the_keyboard_reaches_everything(browser: Browser, reports: Reports, page: str) -> None:
    tab = Tab(browser).open(reports.whole, f"#/{page}?dataset=notes&set=avg")
    wanted = tab.page.evaluate(FOCUSABLE)
    seen: list[str] = []
    for _ in range(len(wanted) + 5):
        tab.page.keyboard.press("Tab")
        if (found := tab.page.evaluate(HAS_FOCUS)) is None:
            break
        seen.append(found)
        assert tab.page.evaluate(SHOWS_FOCUS), f"{found} has the focus and does not show it"
    assert seen[:7] == ["skip", *(f"#/{name}" for name in PAGES), "theme"]
    assert [name for name in wanted if name not in seen] == []
    tab.close()
    assert tab.complaints == []


def test_the_skip_link(tab: Tab, reports: Reports) -> None:
    tab.open(reports.whole, "#/layers")
    tab.of("#skip").focus()
    assert tab.page.evaluate("() => document.getElementById('skip').getBoundingClientRect().left >= 0")
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("() => document.activeElement.id") == "main"
    assert tab.texts("h1") == ["Layers"]
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("() => document.getElementById('main').contains(document.activeElement)")


def test_samples_are_walked_through_with_arrow_keys(tab: Tab, reports: Reports) -> None:
    (case,) = cases(reports, 1, "dataset = 'pics' AND detector = 'superactivator'")
    samples = counted(reports, case)
    order = [sample for outcome in OUTCOMES for sample in samples[outcome]]
    tab.open(reports.whole, address(case))
    tab.of(f"li[data-sample='{order[0]}'] a").focus()
    with tab.going():
        tab.page.keyboard.press("Enter")
    seen = []
    for place in range(len(order)):
        seen += tab.data("#sample", "sample")
        assert tab.page.evaluate("() => document.activeElement.id") == "sample-title"
        assert tab.data("li[data-sample]:has(.card[aria-current])", "sample") in ([seen[-1]], [])
        if place + 1 < len(order):
            with tab.going():
                tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowRight")
    assert [int(sample) for sample in seen] == order
    with tab.going():
        tab.page.keyboard.press("ArrowLeft")
    assert tab.data("#sample", "sample") == [str(order[-2])]
    with tab.going():
        tab.page.keyboard.press("Escape")
    assert not tab.of("#sample").is_visible()
    assert tab.page.evaluate("() => document.activeElement.matches('.card, h1')")


def test_tables_are_sorted_from_the_keyboard(tab: Tab, reports: Reports) -> None:
    tab.open(reports.whole, "#/layers?dataset=notes&set=avg")
    button = "#best-table thead th:nth-child(5) button"
    tab.of(button).focus()
    for way in ("descending", "ascending"):
        tab.page.keyboard.press("Enter")
        assert tab.of("#best-table thead th:nth-child(5)").get_attribute("aria-sort") == way
        shown = [float(text) for text in tab.texts("#best-table tbody td:nth-child(5)")]
        assert len(shown) == 18 and shown == sorted(shown, reverse=way == "descending")
    assert tab.page.evaluate("(button) => document.activeElement.matches(button)", button)


OPEN = {
    **{page: f"#/{page}?dataset=notes" for page in PAGES},
    "text": "#/samples?dataset=notes&sample=2",
    "image": "#/samples?dataset=pics&sample=2",
}


@pytest.mark.parametrize("view", OPEN)
def test_controls_have_names_and_headings_come_in_order(tab: Tab, reports: Reports, view: str) -> None:
    tab.open(reports.whole, OPEN[view])
    roles = (
        "button",
        "combobox",
        "slider",
        "checkbox",
        "searchbox",
        "link",
        "image",
        "img",
        "region",
        "navigation",
        "table",
        "option",
    )
    nodes = tab.accessible()
    unnamed = [own for own in nodes if own["role"] in roles and not own["name"].strip()]
    assert unnamed == []
    assert sum(own["role"] in roles for own in nodes) >= 8
    assert (
        tab.page.eval_on_selector_all(
            "main input, main select", "all => all.filter((own) => own.labels.length !== 1).length"
        )
        == 0
    )
    levels = tab.page.eval_on_selector_all(
        "h1, h2, h3, h4", "all => all.filter((own) => own.checkVisibility()).map((own) => Number(own.tagName[1]))"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels
    ids = tab.page.eval_on_selector_all("[id]", "all => all.map((own) => own.id)")
    assert len(ids) == len(set(ids))
    assert tab.page.evaluate("() => document.documentElement.lang") == "en"
    heads = tab.page.eval_on_selector_all(
        "main table", "all => all.map((t) => [t.caption !== null, t.querySelectorAll('th:not([scope])').length])"
    )
    assert heads == [[True, 0]] * len(heads)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("view", OPEN)
def test_text_stands_out_from_its_ground(
    tabs: dict[tuple[str, str], Tab], reports: Reports, view: str, scheme: str
) -> None:
    own = tabs["wide", scheme].open(reports.whole, OPEN[view])
    assert own.data("html", "theme") == [scheme]
    found = own.page.evaluate(CONTRAST)
    assert len(found) > 30 and [line for line in found if line[0] < 4.5] == []


def test_the_theme_can_be_chosen(browser: Browser, reports: Reports) -> None:
    own = Tab(browser).open(reports.whole, "#/layers")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = own.page.evaluate(ground)
    own.of("#theme").focus()
    own.page.keyboard.press("Enter")
    assert own.of("#theme").get_attribute("aria-pressed") == "true"
    dark = own.page.evaluate(ground)
    assert dark != light
    own.page.wait_for_function("() => document.querySelector('#detection-heatmap').dataset.drawn === '2'")
    own.open(reports.whole, "#/samples")
    assert own.page.evaluate(ground) == dark
    own.page.reload()
    own.open(reports.whole, "#/samples")
    assert own.page.evaluate(ground) == dark, "the choice is kept"
    own.close()
    assert own.complaints == []


# -- what was left out ----------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said_where_it_is_missing(tab: Tab, reports: Reports) -> None:
    """A report on a budget: everywhere the counts, where there is no room the word that there are no lists or token scores."""
    tab.open(reports.tight)
    notes = tab.text("#notes")
    assert "token scores of" in notes and "are left out" in notes and "No pictures: --no-images was given." in notes
    files = {
        str(path.relative_to(reports.tight / "data").with_suffix("")) for path in reports.tight.rglob("data/**/*.js")
    }
    seen = set()
    for case in cases(reports, 60, "delta = 0.3"):
        (label,) = [
            place
            for place, name in enumerate(
                sorted(
                    reports.session.sql(
                        f"SELECT label FROM labels WHERE evaluated AND dataset = {quoted(case['dataset'])}"
                    )["label"]
                )
            )
            if name == case["label"]
        ]
        at = f"{case['dataset']}/{case['model']}/{case['set']}/{case['layer']}/{label}"
        there = f"scores/{at}" in files, f"tokens/{at}" in files
        if there in seen:
            continue
        seen.add(there)
        sample = counted(reports, case)
        tab.open(reports.tight, address(case, sample=next(own[0] for own in sample.values() if own)))
        assert shown_counts(tab) == {outcome: case[outcome] for outcome in OUTCOMES}
        assert tab.of("#lists").is_visible() == there[0]
        assert ("lists are not" in tab.text("#samples-note")) != there[0]
        assert tab.of("#sample").is_visible() and tab.of("#overlay, #text").is_visible()
        assert (
            "token scores of this label, layer and concept set are not in this report" in tab.text("#sample-note")
        ) != there[1]
    assert seen == {(True, True), (True, False), (False, False)}


def test_a_report_without_pictures_shows_scores_alone(tab: Tab, reports: Reports) -> None:
    tab.open(reports.tight, "#/samples?dataset=pics&sample=2")
    assert tab.of("#overlay").is_visible() and not tab.of(".picture").is_visible()
    assert tab.of("main img").count() == 1 and tab.of(".cards .words").count() > 0


def test_a_file_that_is_missing_is_named(browser: Browser, reports: Reports, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(reports.whole, tmp_path / "torn")
    (tmp_path / "torn/data/layers/notes/reader.js").unlink()
    own = Tab(browser).open(tmp_path / "torn", "#/layers?dataset=notes")
    assert own.texts(".problem") == ["data/layers/notes/reader.js is missing from this report."]
    own.open(tmp_path / "torn", "#/layers?dataset=pics")
    assert own.texts(".problem") == [] and own.texts("h1") == ["Layers"]
    own.close()
