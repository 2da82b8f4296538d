"""The viewer in Chromium: it filters, opens groups, runs nothing of a model's and asks nobody."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from browser import Reader, chromium
from synthetic_run import (
    CONFIG,
    MANIFEST,
    candidate,
    group,
    hostile,
    make_run,
    member,
    rescued,
)

from rephrase_rl.records import TokenRecord
from rephrase_rl.reports import write_report
from rephrase_rl.runs import RunDirectory
from rephrase_rl.visible_text import HIDDEN

PLANTED = "<script>alert(1)</script><img src=x onerror=alert(2)>"
EVERY_HIDDEN = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if HIDDEN.match(chr(code)) and not 0xD801 <= code <= 0xDFFE
]
TOKENS = TokenRecord(
    pieces=("4 ", "+ ", "\u202e<b>", "\n", ""),
    logps_on_q=(-3.0, -1.0, -0.5, -10.0, 0.0),
    logps_on_context=(-0.1, -1.0, -2.0, -1.0, 0.0),
)
ONE = TokenRecord(("1", "2"), (-1.0, -2.0))
SHOWN = ("a\n\tb", "الحل 解 é 😀")


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A run with every kind of group, and with texts that would like to be more than texts."""
    run = make_run(tmp_path_factory.mktemp("runs") / "repo", num_steps=30)
    copied = candidate("copy", accepted=False, refusals=("not_copied",))
    run.append_groups(
        [
            hostile(30),
            group(30, "easy-all", failure_fraction=0.0, dataset="b"),
            rescued(31, "two", candidates=(copied, candidate("sum is 4 so 4"), copied),
                    replaced=member("sum is 5 so 5", 0.0, -0.5),
                    expert_solution="the sum is 4 thus 4"),
            rescued(32, PLANTED, question=PLANTED, reference_answer=PLANTED, dataset=PLANTED,
                    expert_solution=PLANTED, replaced=member(PLANTED, 0.0, 0.0),
                    candidates=(candidate(PLANTED, removed_meta=(PLANTED,),
                                          raw_text=f"x {PLANTED}", refusals=(PLANTED,),
                                          accepted=False),)),
            group(33, "hidden", question="x".join(EVERY_HIDDEN), reference_answer=SHOWN[0],
                  expert_solution=SHOWN[1]),
            group(34, "hard-r", failure_fraction=0.5),
            rescued(35, "tokens", candidates=(candidate("4 + \u202e<b>\n", tokens=TOKENS),)),
            rescued(35, "expert's", candidates=(candidate("12", origin="expert", tokens=ONE),)),
        ]
    )  # fmt: skip
    return write_report(run.path).index


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The same kinds of groups, few of each: what looks at every element takes its time."""
    run = make_run(tmp_path_factory.mktemp("small") / "repo", num_steps=2)
    copied = candidate("copy", accepted=False, refusals=("not_copied",))
    both = (copied, candidate("4 + \u202e<b>\n", tokens=TOKENS))
    run.append_groups([rescued(3, "two", candidates=both, dataset="b")])
    return write_report(run.path).index


@pytest.fixture(scope="module")
def reader(browser, report):
    reader = Reader(browser, report)
    yield reader
    reader.context.close()


@pytest.fixture
def tab(reader):
    """The module's tab at the table of all groups; whatever a page said there is a fault."""
    reader.faults.clear()
    reader.open("#groups")
    yield reader
    assert reader.faults == []


def rows(tab) -> list[str]:
    return tab.texts("#table-body .row-link")


# ------------------------------------------------------------------ the table


@pytest.mark.parametrize(
    ("label", "count"),
    [("All", 69), ("Rescued", 35), ("Accepted", 34), ("Refused", 3), ("All failed", 36),
     ("All passed", 1), ("Copied", 2)],
)  # fmt: skip
def test_a_filter_leaves_the_groups_it_names(tab, label, count):
    tab.page.get_by_role("button", name=re.compile(rf"^{label} \d+")).click()
    tab.page.wait_for_selector(f'.chip[aria-pressed="true"]:has-text("{label}")')

    assert tab.texts('#filters .chip[aria-pressed="true"]') == [f"{label} {count}"]
    assert len(rows(tab)) == count


def test_filters_add_up_and_stand_in_the_address(tab):
    tab.page.select_option("#rule-filter", "not_copied")
    tab.until("location.hash.includes('rule')")

    assert rows(tab) == ["two"]
    assert tab.texts("#shown") == ["1 of 69 groups"]
    tab.page.get_by_role("button", name=re.compile("^All passed")).click()
    tab.page.wait_for_selector("#nothing:visible")
    assert rows(tab) == []
    address = tab.page.url.partition("#")[2]
    tab.open(f"#{address}")
    assert tab.page.locator("#rule-filter").input_value() == "not_copied"
    tab.page.select_option("#rule-filter", "")
    tab.page.get_by_role("button", name=re.compile("^All 69")).click()
    tab.page.select_option("#set-filter", "b")
    tab.until("location.hash.includes('set')")
    assert rows(tab) == ["easy-all"]


def test_search_finds_problems_and_if_asked_rollouts(tab):
    tab.page.fill("#search", "THUS 4")
    tab.until("document.querySelectorAll('#table-body tr').length === 1")
    assert rows(tab) == ["two"]

    tab.page.fill("#search", "is 5 so")
    tab.page.wait_for_selector("#nothing:visible")
    tab.page.check("#deep")
    tab.until("document.querySelectorAll('#table-body tr').length === 1")
    assert rows(tab) == ["two"]


def test_columns_sort_both_ways_and_missing_figures_come_last(tab):
    heading = tab.page.get_by_role("button", name="Mean reward")
    heading.click()
    tab.page.wait_for_selector('th[aria-sort="ascending"]:has-text("Mean reward")')
    up = tab.texts("#table-body td.extra:nth-child(5)")
    heading.click()
    tab.page.wait_for_selector('th[aria-sort="descending"]:has-text("Mean reward")')
    down = tab.texts("#table-body td.extra:nth-child(5)")

    assert [float(value) for value in up] == sorted(float(value) for value in up)
    assert down == sorted(up, key=float, reverse=True)
    tab.go("#groups?sort=-logp_q")
    values = tab.texts("#table-body td.extra:nth-child(6)")
    assert values[0] == "−0.750"
    assert values[-1] == "–"


def test_a_replaced_rollout_stands_above_its_replacement(tab):
    tab.go("#groups?text=two")
    squares = tab.page.locator("#table-body tr").first.locator("li")

    assert squares.all_inner_texts() == ["0\n1", "0", "0", "0"]
    assert "slot" in squares.first.locator(".mark").last.get_attribute("class")


def test_a_chart_is_drawn_and_a_click_shows_the_groups_of_its_step(tab):
    tab.go("#overview")
    charts = tab.page.locator("#charts figure")

    assert charts.count() == 7
    label = charts.nth(1).locator("svg[role=img]").get_attribute("aria-label")
    assert label == "Reward, by step. mean reward: 0.400 at step 0, 0.919 at step 29."
    assert charts.nth(2).locator(".series").count() == 2
    box = charts.nth(1).locator("svg[role=img]").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] - 13, box["y"] + 80)
    assert tab.texts("#charts .chart:nth-child(2) .at") == ["at step 29"]
    tab.page.mouse.click(box["x"] + box["width"] - 13, box["y"] + 80)
    tab.page.wait_for_selector("#groups:not([hidden])")
    assert rows(tab) == ["hard-29", "easy-29", "hard-r"]


# ------------------------------------------------------------------ one group


def test_a_group_opens_and_shows_what_it_was(tab):
    tab.page.get_by_role("link", name="two", exact=True).click()
    tab.page.wait_for_selector("#group:not([hidden])")

    assert tab.texts("#group h2") == ["Step 31 · two"]
    assert "a rephrase took place 0" in tab.page.inner_text("#group")
    assert tab.texts("#group .column h4") == [
        "Expert text", "Candidate rephrase", "Replaced rollout place 0"]  # fmt: skip
    assert tab.texts("#group .column pre") == [
        "the sum is 4 thus 4", "sum is 4 so 4", "sum is 5 so 5"]  # fmt: skip
    # Accepted is the second of three, and what it shares with the expert is not marked.
    assert tab.texts("#group .column del") == ["the", "thus"]
    assert tab.texts("#group .column ins") == ["so"]
    tab.page.locator("#group").get_by_label("the replaced rollout").check()
    assert tab.texts("#group .column ins") == ["4", "4"]
    assert tab.texts("#group .column del") == ["5", "5"]
    tab.page.locator("#group").get_by_label("nothing").check()
    assert tab.texts("#group .column ins, #group .column del") == []
    tab.page.locator("#group").get_by_label("1 refused").check()
    assert "refused: not_copied" in tab.page.inner_text("#group .column.refused")
    members = tab.texts("#group table.members tbody tr")
    assert len(members) == 4
    assert "1.500" in members[0]


def test_a_group_without_candidates_shows_its_expert_text(tab):
    tab.go("#group?n=1")
    assert tab.texts("#group h2") == ["Step 0 · easy-0"]
    assert "seven plus five" in tab.page.inner_text("#group")
    assert tab.texts("#group .side-by-side") == []


def test_the_heat_map_shows_each_token_under_both_prompts(tab):
    tab.go("#group?n=67")
    tokens = tab.page.locator("#group .heat .token")

    assert tokens.all_text_contents() == ["4 ", "+ ", "U+202E<b>", "↵\n", "∎"]
    heat = [(t.get_attribute("class"), t.get_attribute("style")) for t in tokens.all()]
    # Differences of -2.9, 0, 1.5, -9 and 0 nats; the colour is full from 3 on.
    assert ["down" in kind for kind, _ in heat] == [True, False, False, True, False]
    assert ["up" in kind for kind, _ in heat] == [False, False, True, False, False]
    assert [style for _, style in heat] == [f"--heat: {share}%;" for share in (53, 0, 28, 55, 0)]
    assert tab.texts("#group .facts-of-token") == [
        "Token 4 of 5: “↵”, log-probability −10.00 given q, −1.00 given P(q, k): ratio 1.2e-4"
    ]
    tab.page.focus("#group .heat")
    tab.page.keyboard.press("Home")
    assert tab.texts("#group .facts-of-token") == [
        "Token 1 of 5: “4 ”, log-probability −3.00 given q, −0.10 given P(q, k): ratio 0.055"
    ]
    tab.page.keyboard.press("ArrowRight")
    assert "Token 2 of 5" in tab.page.inner_text("#group .facts-of-token")
    tab.page.keyboard.press("End")
    assert "Token 5 of 5: without text" in tab.page.inner_text("#group .facts-of-token")
    tokens.nth(2).hover()
    assert "Token 3 of 5" in tab.page.inner_text("#group .facts-of-token")
    tab.page.locator("#group").get_by_label("given P(q, k)", exact=True).check()
    assert tokens.nth(3).get_attribute("style") == "--heat: 11%;"
    label = tab.page.locator("#group .chart svg[role=img]").get_attribute("aria-label")
    assert label == (
        "Log-probability, by token. given q: −3.000 at token 1, 0.000 at token 5; "
        "given P(q, k): −0.100 at token 1, 0.000 at token 5."
    )


def test_without_tokens_the_heat_map_says_why(tab):
    tab.go("#group?n=0")
    assert "were kept (log.token_logps)" in tab.page.inner_text("#group")


def test_a_text_of_no_prompt_has_one_colour(tab):
    tab.go("#group?n=68")
    assert tab.texts("#group [aria-label='Token by token'] fieldset label") == ["given q"]
    assert tab.page.locator("#group .heat .token.down").count() == 2


def test_removed_meta_text_is_struck_through(tab):
    tab.go("#group?n=0")
    tab.page.locator("#group").get_by_text("as sampled, before meta text was removed").click()
    assert tab.texts("#group details del") == ["As the reference says,"]


def test_long_texts_are_folded_and_whole(tab):
    tab.go("#group?n=61")
    folded = tab.texts("#group table details.text:not([open]) summary")
    assert [text.endswith("(120,000 characters)") for text in folded] == [True]
    lengths = tab.page.evaluate(
        "[...document.querySelectorAll('#group pre')].map((pre) => pre.textContent.length)"
    )
    assert lengths.count(120_000) == 2
    assert "Too long for differences to be marked" not in tab.page.inner_text("#group")
    tab.page.locator("#group").get_by_label("the replaced rollout").check()
    assert tab.page.locator("#group .column ins").count() > 0


def test_keys_move_open_and_go_back(tab):
    keyboard = tab.page.keyboard
    keyboard.press("j")
    keyboard.press("j")
    assert tab.page.evaluate("document.activeElement.textContent") == "easy-0"
    keyboard.press("k")
    keyboard.press("Enter")
    tab.page.wait_for_selector("#group:not([hidden])")
    assert tab.texts("#group h2") == ["Step 0 · hard-0"]
    assert tab.page.evaluate("document.activeElement.tagName") == "H2"
    keyboard.press("j")
    tab.page.wait_for_selector("#group h2:has-text('easy-0')")
    keyboard.press("Escape")
    tab.page.wait_for_selector("#groups:not([hidden])")
    tab.until("document.activeElement.textContent === 'easy-0'")
    keyboard.press("/")
    tab.until("document.activeElement.id === 'search'")
    keyboard.type("jk?")
    assert tab.page.input_value("#search") == "jk?"
    keyboard.press("Escape")
    keyboard.press("?")
    assert tab.page.locator("#help").is_visible()
    keyboard.press("Escape")
    assert not tab.page.locator("#help").is_visible()


def test_the_way_through_groups_is_that_of_the_table(tab):
    tab.go("#groups?show=refused&sort=-step")
    keyboard = tab.page.keyboard
    keyboard.press("j")
    keyboard.press("Enter")
    tab.page.wait_for_selector("#group:not([hidden])")
    assert tab.texts("#group nav.steps .note") == ["1 of 3"]
    keyboard.press("j")
    tab.page.wait_for_selector("#group h2:has-text('two')")
    keyboard.press("j")
    tab.page.wait_for_selector("#group h2:has-text('hard-r')")


# ------------------------------------------------------------------ problems


def test_a_problem_is_shown_over_time_and_leads_to_its_groups(tab):
    tab.go("#problems?show=solved")

    assert tab.texts("#problem-body th") == ["hard-r"]
    assert tab.texts("#problem-body .tag") == ["solved at step 34"]
    visits = tab.page.locator("#problem-body .visits a")
    assert [text.split()[0] for text in visits.all_inner_texts()] == ["0", "50"]
    visits.last.click()
    tab.page.wait_for_selector("#group:not([hidden])")
    assert tab.texts("#group h2") == ["Step 34 · hard-r"]
    here = tab.page.locator("#group .visits [aria-current]")
    assert here.get_attribute("title") == "step 34: 50 % passed"


def test_problems_are_chosen_and_searched(tab):
    tab.go("#problems?show=hard")
    assert len(tab.texts("#problem-body th")) == 36
    tab.page.fill("#problem-search", "hard-2")
    tab.until("document.querySelectorAll('#problem-body tr').length === 11")
    assert tab.texts("#problems-shown") == ["11 of 68 problems"]


# ------------------------------------------------------------------ what a text may do


def test_planted_markup_does_nothing(browser, report):
    tab = Reader(browser, report)
    for view in ("#groups", "#group?n=64", "#group?n=61", "#problems", "#overview"):
        tab.go(view)
        tab.page.wait_for_timeout(30)
        kinds = tab.page.evaluate("[...document.querySelectorAll('*')].map((e) => e.localName)")
        assert "img" not in kinds
        assert kinds.count("script") == 4
    tab.go("#group?n=64")
    texts = tab.texts("#group pre")
    assert texts.count(PLANTED) >= 5
    assert f"refused: {PLANTED}" in tab.page.inner_text("#group")
    # The policy and trusted types hold even if the script were to take markup.
    assert tab.page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken' }"
        " catch (error) { return error.name } }"
    ) == "TypeError"  # fmt: skip
    assert [fault for fault in tab.faults if "TrustedHTML" not in fault] == []
    tab.context.close()


def test_hidden_characters_are_labelled_like_everywhere_else(tab):
    tab.go("#group?n=65")

    labels = tab.texts("#group dd:first-of-type .hidden-char")
    assert labels == [f"U+{ord(character):04X}" for character in EVERY_HIDDEN]
    assert unicodedata.category(EVERY_HIDDEN[-1]) == "Cf"
    assert tab.page.locator("#group pre").nth(1).text_content() == SHOWN[0]
    assert SHOWN[1] in tab.texts("#group pre")


def test_nobody_is_asked_for_anything(tab):
    tab.requests.clear()
    tab.open()
    for view in ("#groups", "#group?n=0", "#problems", "#overview"):
        tab.go(view)

    addresses = {address.partition("#")[0] for address in tab.requests}
    assert addresses <= {tab.file.as_uri(), "about:blank", "data:,"}
    assert tab.file.as_uri() in addresses


# ------------------------------------------------------------------ for everyone

VIEWS = ("#overview", "#groups", "#group?n=5", "#group?n=1", "#problems")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser, small, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab = Reader(browser, small, color_scheme=scheme)
    for view in VIEWS:
        tab.go(view)
        # What dark colours can change is contrast.
        rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else None
        found = axe.run(tab.page, options=rules).response["violations"]
        assert [
            (fault["id"], node["html"])
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ] == [], view
    tab.context.close()


def test_a_phone_needs_no_sideways_scrolling(browser, report):
    tab = Reader(browser, report, viewport={"width": 360, "height": 740})
    for view in (*VIEWS, "#group?n=61", "#group?n=63", "#group?n=64", "#group?n=67"):
        tab.go(view)
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 360, view
        small = tab.page.evaluate(
            "[...document.querySelectorAll('main *')].filter((e) => e.checkVisibility()"
            " && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())"
            " && parseFloat(getComputedStyle(e).fontSize) < 9).map((e) => e.outerHTML)"
        )
        assert small == [], view
    assert tab.faults == []
    tab.context.close()


def test_colours_follow_the_system_until_the_reader_chooses(browser, report):
    tab = Reader(browser, report, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = tab.page.evaluate(background)
    tab.page.get_by_role("button", name="Light colours").click()
    light = tab.page.evaluate(background)
    assert dark != light
    tab.open()
    assert tab.page.evaluate(background) == light
    tab.page.keyboard.press("t")
    assert tab.page.evaluate(background) == dark
    tab.context.close()


# ------------------------------------------------------------------ long and empty runs


def test_a_divided_run_leads_from_page_to_page(browser, tmp_path):
    run = make_run(tmp_path / "long", num_steps=4)
    run.append_groups([group(5, "hard-0"), rescued(6, "last")])
    paths = write_report(run.path, groups_per_page=6)
    tab = Reader(browser, paths.index)

    tab.go("#groups?show=rescued")
    assert rows(tab) == ["hard-0", "hard-1", "hard-2"]
    # The choice goes along to the other page.
    tab.page.locator("#pages a").click()
    tab.page.wait_for_selector("html[data-ready]")
    assert tab.page.url.endswith("groups-2.html#groups?show=rescued")
    assert rows(tab) == ["hard-3", "last"]
    tab.page.get_by_role("link", name="Overview").click()
    tab.page.wait_for_selector("html[data-ready] #charts")
    tab.go("#problems?text=hard-0")
    tab.page.locator("#problem-body .visits a").last.click()
    tab.page.wait_for_selector("#group:not([hidden]) h2")
    assert "groups-2.html" in tab.page.url
    assert tab.texts("#group h2") == ["Step 5 · hard-0"]
    assert tab.faults == []
    tab.context.close()


def test_a_run_without_groups_opens(browser, tmp_path):
    run = RunDirectory.create(tmp_path / "run", MANIFEST, CONFIG)
    tab = Reader(browser, write_report(run.path).index)
    tab.go("#groups")
    assert tab.texts("#nothing") == ["No group passes these filters."]
    tab.go("#group?n=3")
    assert "There is no such group" in tab.page.inner_text("#group")
    assert tab.faults == []
    tab.context.close()
