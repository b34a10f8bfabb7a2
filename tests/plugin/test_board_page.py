"""The board as people see and use it, in a real browser: light and dark, wide and narrow, by keyboard and by ear.

The page is Airflow's own; what Airflow would answer is made up, so that every state can be seen.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import browser
from tests.plugin import served_board as board

pytestmark = pytest.mark.stack  # for its browser; of the stack it needs nothing

SHOP = "//section[starts-with(@aria-label, 'shop in production')]"
ROOT = "document.querySelector('h1').parentElement.parentElement"
CENTRE = "arguments[0].scrollIntoView({block: 'center'})"
MEASURES = Path(__file__).with_name("measure.js").read_text()
LONG = "a-service-with-a-name-that-is-as-long-as-kubernetes-lets-it-be-1"
TOO_LONG = (
    "Deployment production/prices: 2 of 3 new pods cannot pull tcr-demo.tencentcloudcr.com/production/prices@sha256:"
    f"{'0123456789abcdef' * 4}: not found"
)
OPENERS = {
    f"{SHOP}//button[text()='History']": f"{SHOP}//*[@role='region'][.//table]",
    f"{SHOP}//button[text()='Scale']": f"{SHOP}//form[@aria-label='Scale']//input",
    "//button[text()='Deploy a commit']": "//form[@aria-label='Deploy']//input",
}
NAMED = {"button", "link", "textbox", "searchbox", "spinbutton", "checkbox", "combobox", "image", "img", "columnheader"}


def param(value: object = None, description: str | None = None, **schema: object) -> dict[str, Any]:
    return {"value": value, "description": description, "schema": schema}


FORMS = (
    board.starter(
        "ci_cd",
        "tke-deploy",
        git_url=param(type="string", title="Repository", description="Where the commit is fetched from."),
        strategy=param("rolling", type="string", enum=["rolling", "canary"]),
        rehearse=param(False, type="boolean", title="Only rehearse"),
        values=param({}, type="object"),
    ),
    board.starter("roll_back", "tke-rollback", service=param(type="string"), revision=param(type=["null", "integer"])),
    board.starter("scale_service", "tke-scale", replicas=param(3, type="integer", minimum=0)),
    board.starter("promote", "tke-promote", image=param(type="string", pattern="@sha256:[0-9a-f]{64}$")),
)
STATES: dict[str, Any] = {
    "prices": board.healthy(health="broken", ready=1, reason=TOO_LONG, drift=["prices: container web runs nginx:1"]),
    "stock": {"health": "unknown", "reason": "the cluster did not answer within 5 seconds"},
    "search": board.healthy(health="changing", reason="1 of 3 new pods is up", holder="ci_cd.deploy.3f2a9c01d4e5"),
    "mail": (500, {"detail": "Internal server error"}),
}


@pytest.fixture(scope="module")
def answers():
    return board.Answers()


@pytest.fixture(scope="module")
def address(answers):
    with board.serving(answers) as url:
        yield url


@pytest.fixture(scope="module")
def driver():
    driver = browser.start()
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def full(answers) -> board.Answers:
    """Everything that the board can show, at once."""
    answers.reset()
    environments = ("pre-release", "production", "staging")
    answers.by_path["/tke/api/releases"] = [
        board.release(service, namespace)
        for service in ("shop", "prices", "stock", "search", "mail", LONG, "cart")
        for namespace in environments
    ]
    answers.by_path["/tke/api/calendars"] = board.calendars()
    answers.by_path["/api/v2/dags"] = {"dags": [dag for dag, _ in FORMS], "total_entries": len(FORMS)}
    answers.by_path |= {f"/api/v2/dags/{dag['dag_id']}/details": details for dag, details in FORMS}
    why = {"reason": param(type=["null", "string"], title="Reason", description="Why in spite of the freeze.")}
    waiting = [
        board.question(1, "Release shop to production?", board.body()),
        board.question(2, "Release prices?", "⚠️ Now releases are frozen.", params=why, options=["Approve", "Reject"]),
    ]
    answers.by_path[board.HITL] = {"hitl_details": waiting, "total_entries": 25}
    answers.live = lambda _namespace, service: STATES.get(service, board.healthy())
    return answers


@pytest.fixture(params=["light", "dark"])
def theme(request, driver) -> str:
    features = [{"name": "prefers-color-scheme", "value": request.param}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    return request.param


@pytest.fixture(params=browser.WIDTHS)
def width(request, driver) -> str:
    browser.resize(driver, *browser.WIDTHS[request.param])
    return request.param


class Page:
    """The board in the browser."""

    def __init__(self, driver, address: str, path: str = "plugin/tke", title: str = "Services") -> None:
        self.driver = driver
        driver.get(f"{address}/{path}")
        self.see(f"//h1[text()='{title}']")

    def see(self, xpath: str):
        return browser.see(self.driver, xpath)

    def press(self, xpath: str) -> None:
        self.driver.execute_script(f"{CENTRE}; arguments[0].click()", self.see(xpath))

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def measure(self, what: str) -> Any:
        return self.driver.execute_script(f"{MEASURES}; return {what.format(root=ROOT)}")

    def open_everything(self) -> None:
        """Open what can be opened at the same time, and see that all of it is there."""
        self.all_asked()
        self.press("(//summary)[1]")
        self.press("//button[text()='Deploy a commit']")
        self.press(f"{SHOP}//button[text()='History']")
        self.press("//section[starts-with(@aria-label, 'cart in staging')]//button[text()='Roll back']")
        for xpath in (
            f"{SHOP}//table",
            "//form[@aria-label='Deploy']//textarea",
            "//form[@aria-label='Roll back']//input",
            "//*[@role='img'][starts-with(@aria-label, 'shop: ')]",
        ):
            self.see(xpath)

    def all_asked(self) -> None:
        """See every cell, so that every state is drawn."""
        for section in self.driver.find_elements("xpath", "//section[contains(@aria-label, ' in ')]"):
            self.driver.execute_script(CENTRE, section)
            browser.until(
                self.driver, lambda section=section: "asking" not in section.text, what="the cluster is asked"
            )


@pytest.fixture
def page(driver, address, full) -> Page:
    return Page(driver, address)


def too_weak(contrasts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in contrasts if each["ratio"] < each["needed"]]


def test_every_text_and_shape_stands_out(theme, width, page):
    page.open_everything()
    texts, shapes = page.measure("textContrasts({root})"), page.measure("shapeContrasts({root})")
    assert (len(texts) > 300, len(shapes) > 8) == (True, True)
    weak = too_weak(texts) + too_weak(shapes)
    assert not weak, weak


def test_nothing_is_wider_than_the_screen_or_cut(width, page):
    page.open_everything()
    assert page.measure("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.measure("{root}.scrollWidth - {root}.clientWidth") <= 0
    assert page.measure("cut({root})") == []


@pytest.mark.parametrize(("theme", "width"), [("light", "wide"), ("dark", "narrow")], indirect=True)
def test_tab_reaches_everything_in_order_and_shows_where_it_is(theme, width, page):
    from selenium.webdriver.common.keys import Keys

    page.open_everything()
    wanted = page.measure("pressable({root})")
    page.driver.execute_script("document.querySelector('h1').tabIndex = -1; document.querySelector('h1').focus()")
    reached = []
    for _ in wanted:
        page.keys(Keys.TAB)
        reached.append(page.measure("focused()"))
    assert [each["element"] for each in reached] == wanted, [each["name"] for each in reached]
    assert [each for each in reached if each["ratio"] < 3] == []
    assert page.measure("unreachable({root})") == []


def test_a_key_opens_and_escape_closes_and_goes_back(page):
    from selenium.webdriver.common.keys import Keys

    page.all_asked()
    for key in (Keys.ENTER, Keys.SPACE):
        for button, opened in OPENERS.items():
            pressed = page.see(button)
            page.driver.execute_script("arguments[0].focus()", pressed)
            page.keys(key)
            inside = page.see(opened)
            assert pressed.get_attribute("aria-expanded") == "true"
            if inside.tag_name == "input":  # who fills in goes on right there
                browser.until(page.driver, lambda inside=inside: page.driver.switch_to.active_element == inside)
            else:
                page.driver.execute_script("arguments[0].focus()", inside)
            page.keys(Keys.ESCAPE)
            browser.until(page.driver, lambda pressed=pressed: pressed.get_attribute("aria-expanded") == "false")
            assert page.driver.switch_to.active_element == pressed


def test_a_form_takes_what_its_pattern_takes_and_says_what_it_refuses(page):
    page.press(f"{SHOP}//button[text()='Promote']")
    image = page.see("//input[@id='Promote-image']")
    assert image.get_attribute("value").startswith("tcr-demo.tencentcloudcr.com/production/shop@sha256:")
    assert page.driver.execute_script("return arguments[0].validationMessage", image) == ""
    browser.retype(image, "shop:latest")
    said = "This has to match @sha256:[0-9a-f]{64}$"
    assert page.driver.execute_script("return arguments[0].validationMessage", image) == said
    page.see("//form[@aria-label='Promote']//*[contains(., 'Starts a run of')]//a[text()='promote']")


@pytest.mark.parametrize(
    ("path", "title", "asked"),
    [
        ("dags/ci_cd", "Services that ci_cd released", ("ci_cd", "", "")),
        ("dags/ci_cd/runs/manual__1", "Services that this run released", ("ci_cd", "manual__1", "")),
        ("dags/ci_cd/tasks/deploy", "Services that deploy released", ("ci_cd", "", "deploy")),
    ],
    ids=["dag", "run", "task"],
)
def test_a_tab_asks_for_what_its_dag_run_or_task_released(driver, address, full, path, title, asked):
    full.by_path |= board.tabs("ci_cd", "manual__1", "deploy")
    full.by_path["/tke/api/releases"] = [board.release("shop", "production", revision=3)]
    page = Page(driver, address, f"{path}/plugin/tke", title)
    page.see(f"{SHOP}[contains(., 'healthy')][contains(., 'Replaced by')][contains(., 'revision 7')]")
    assert full.queries["/tke/api/releases"] == dict(zip(("dag_id", "run_id", "task_id"), asked, strict=True))
    of_the_whole = "//button[text()='Deploy a commit'] | //*[text()='Waiting for a person']"
    assert driver.find_elements("xpath", of_the_whole) == []


def test_one_release_of_a_history_is_live_and_the_others_were(page):
    page.press(f"{SHOP}//button[text()='History']")
    page.see(f"{SHOP}//table")
    states = [each.text for each in page.driver.find_elements("xpath", f"{SHOP}//tbody/tr/td[1]/span[1]")]
    assert states == ["live", "rolled-back", "was live", "was live", "was live"]


@pytest.mark.parametrize(("many", "drawn"), [(1, 1), (500, 20)])
def test_a_history_of_any_length_is_drawn(page, full, many, drawn):
    records = [board.record(number % 29 + 1) | {"revision": number} for number in range(many, 0, -1)]
    full.live = lambda _namespace, _service: board.healthy(records=records)
    page.press(f"{SHOP}//button[text()='History']")
    page.see(f"{SHOP}//table")
    assert len(page.driver.find_elements("xpath", f"{SHOP}//tbody/tr")) == drawn
    assert len(page.driver.find_elements("xpath", f"{SHOP}//*[name()='rect']")) == drawn


@pytest.mark.parametrize("width", ["narrow"], indirect=True)
def test_a_hundred_services_are_drawn_found_and_asked_for_only_where_somebody_looks(driver, address, answers, width):
    answers.reset()
    answers.by_path["/tke/api/releases"] = [board.release(f"service-{each:03}", "production") for each in range(100)]
    page = Page(driver, address)
    page.see("//section[starts-with(@aria-label, 'service-099 in production')]")
    assert len(driver.find_elements("xpath", "//section[contains(@aria-label, ' in production')]")) == 100
    assert 0 < answers.asked.count(("GET", "/tke/api/live")) < 50
    page.see("//input[@type='search']").send_keys("service-042")
    page.see("//*[text()='1 of 100']")


def test_whoever_may_not_read_or_start_is_told_so(driver, address, full):
    forbidden = (403, {"detail": "Forbidden"})
    full.by_path["/api/v2/dags/roll_back/dagRuns"] = forbidden
    page = Page(driver, address)
    page.press(f"{SHOP}//button[text()='Roll back']")
    page.press("//form[@aria-label='Roll back']//button[text()='Roll back']")
    page.see("//form[@aria-label='Roll back']//*[@role='alert'][contains(., 'Not started: you may not do this')]")
    full.by_path |= dict.fromkeys(("/tke/api/releases", "/tke/api/calendars", board.HITL), forbidden)
    page = Page(driver, address)
    page.see("//*[@role='alert'][contains(., 'The releases cannot be read: you may not do this')]")


def test_whoever_listens_hears_names_headings_and_tables(page):
    page.open_everything()
    root = page.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": ROOT})["result"]["objectId"]
    tree = page.driver.execute_cdp_cmd("Accessibility.queryAXTree", {"objectId": root})["nodes"]
    nodes = [(each["role"]["value"], each.get("name", {}).get("value", "")) for each in tree if not each["ignored"]]
    assert sum(role == "button" for role, _ in nodes) > 50
    assert [role for role, name in nodes if role in NAMED and not name.strip()] == []
    assert sum(role == "columnheader" for role, _ in nodes) > 10
    assert sum(role == "rowheader" for role, _ in nodes) >= 5
    levels = page.measure("[...{root}.querySelectorAll('h1, h2, h3, h4')].map((each) => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert max(after - before for before, after in pairwise(levels)) == 1
    pictures = [name for role, name in nodes if role in {"image", "img"}]
    assert any(" from " in name for name in pictures)


def test_what_a_release_changed_is_asked_for_and_shown_line_by_line(page, full):
    page.press(f"{SHOP}//button[text()='History']")
    changes = ("GET", "/tke/api/changes")
    page.see(f"{SHOP}//table//*[text()='1 changed, 2 unchanged']")
    asked = full.asked.count(changes)
    page.press(f"({SHOP}//button[@aria-label='What changed: revision 7'])[1]")
    page.see(f"{SHOP}//table//pre[contains(., '+      - image: shop@sha256:aaaa')]")
    for name, said in (("Images", "7" * 12), ("Served before", "6" * 12), ("Checked", "passed: 12 tests passed")):
        page.see(f"{SHOP}//table//dt[text()='{name}']/following-sibling::dd[1][contains(., '{said}')]")
    page.see(f"{SHOP}//table//td[.='3 min']")
    assert full.asked.count(changes) == asked + 1


def test_an_answer_is_told_and_the_focus_stays_on_the_page(page, full):
    told = []
    answer = "/api/v2/dags/ci_cd/dagRuns/manual__1/taskInstances/approval/-1/hitlDetails"

    def answered(body: dict[str, Any]) -> dict[str, Any]:
        told.append(body)
        full.by_path[board.HITL] = {"hitl_details": [], "total_entries": 0}
        return {}

    full.by_path[answer] = answered
    reason = page.see("//section[@aria-label='Release prices?']//input")
    reason.send_keys("security fix")
    page.press("//section[@aria-label='Release prices?']//button[text()='Approve']")
    page.see("//*[@role='status'][contains(., 'Approve: Release prices?')]")
    assert told == [{"chosen_options": ["Approve"], "params_input": {"reason": "security fix"}}]
    browser.until(page.driver, lambda: page.driver.switch_to.active_element.text == "Waiting for a person")


def test_a_refused_answer_is_said_where_it_was_given(page, full):
    answer = "/api/v2/dags/ci_cd/dagRuns/manual__1/taskInstances/approval/-1/hitlDetails"
    full.by_path[answer] = (409, {"detail": "Human-in-the-loop detail has already been updated"})
    page.press("//section[@aria-label='Release shop to production?']//button[text()='Reject']")
    page.see(
        "//section[@aria-label='Release shop to production?']//*[@role='alert'][contains(., 'already been updated')]"
    )


def test_an_empty_board_says_what_will_be_there(driver, address, answers, width):
    answers.reset()
    page = Page(driver, address)
    page.see("//*[text()='No service was released yet.']")
    assert too_weak(page.measure("textContrasts({root})")) == []


def test_what_cannot_be_read_is_said(driver, address, answers):
    answers.reset()
    for path in ("/tke/api/releases", "/tke/api/calendars", board.HITL):
        answers.by_path[path] = (500, {"detail": "no database"})
    page = Page(driver, address)
    for what in (
        "The releases cannot be read",
        "The calendar cannot be drawn",
        "What waits for a person cannot be read",
    ):
        page.see(f"//*[@role='alert'][contains(., '{what}')][contains(., 'no database')]")


def test_what_was_seen_last_stays_with_its_time(page, full):
    seen = "2026-03-01T08:00:00+00:00"
    full.live = lambda _namespace, _service: board.healthy(health="unknown", reason="no answer", as_of=seen)
    page.all_asked()
    page.see(f"{SHOP}[contains(., '3 of 3 replicas serve, as seen Mar 1, 2026')][contains(., 'no answer')]")
