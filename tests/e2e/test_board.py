"""The board in a real browser: what people see and do, and what they may not."""

from __future__ import annotations

import json

import httpx
import pytest

from local import STATE
from local.airflow_api import AirflowApi
from local.endpoints import AIRFLOW_LOGINS_FILE, BASE_IMAGE
from tests.browser import WIDTHS, resize, see, start, until

pytestmark = pytest.mark.e2e

SHOP = "cluster=cls-local000&namespace=production&service=shop"
SCREENSHOTS = STATE / "screenshots"


@pytest.fixture(scope="module")
def passwords(airflow) -> dict[str, str]:
    return json.loads(AIRFLOW_LOGINS_FILE.read_text())


@pytest.fixture(params=WIDTHS)
def browser(request, airflow, passwords):
    """A browser in which the administrator has logged in, once wide and once narrow."""
    driver = start()
    try:
        resize(driver, *WIDTHS[request.param])
        page = Page(driver, airflow.airflow_url, request.param)
        page.log_in("admin", passwords["admin"])
        yield page
    finally:
        driver.quit()


class Page:
    """What a person does with a browser."""

    def __init__(self, driver, url: str, name: str) -> None:
        self.driver = driver
        self.url = url
        self.name = name

    def log_in(self, user: str, password: str) -> None:
        self.driver.get(f"{self.url}/auth/login/")
        self.see("//input[@name='username']").send_keys(user)
        self.see("//input[@name='password']").send_keys(password)
        self.see("//button[@type='submit']").click()
        self.until(lambda: "/auth/login" not in self.driver.current_url)

    def open(self, path: str) -> None:
        self.driver.get(f"{self.url}/{path}")

    def see(self, xpath: str, seconds: float = 30):
        return see(self.driver, xpath, seconds)

    def until(self, holds, seconds: float = 30, what: str = ""):
        return until(self.driver, holds, seconds, what)

    def keep(self, what: str) -> None:
        """Keep a screenshot for whoever reads the result."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(SCREENSHOTS / f"{what}-{self.name}.png"))

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


def test_the_board_shows_each_service_where_it_is_live_and_how_it_is(browser, live):
    browser.open("plugin/tke")
    for service in ("prices", "shop", "stock"):
        for namespace in ("pre-release", "production"):
            cell = browser.see(f"//section[starts-with(@aria-label, '{service} in {namespace}')]")
            # The cluster is asked about what somebody looks at.
            browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
            browser.until(lambda cell=cell: "healthy" in cell.text, what=f"{service} in {namespace} is healthy")
            assert live.result(f"{service}.build")["digest"].partition(":")[2][:12] in cell.text
            assert "replicas serve" in cell.text
    assert browser.overflow() <= 0
    browser.keep("board")


def test_a_history_opens_by_keyboard_alone(browser, live):
    from selenium.webdriver.common.keys import Keys

    browser.open("plugin/tke")
    button = browser.see("//section[starts-with(@aria-label, 'shop in production')]//button[text()='History']")
    button.send_keys(Keys.ENTER)
    browser.see("//section[starts-with(@aria-label, 'shop in production')]//*[contains(text(), 'releases a day')]")
    browser.see("//*[@aria-label='Seconds that each release took, oldest first']")
    browser.see("(//section[starts-with(@aria-label, 'shop in production')]//button[text()='What changed'])[1]").click()
    browser.see("//td[@colspan]//*[contains(text(), 'changed.') or contains(text(), 'created.')]")
    browser.keep("history")


def test_a_run_shows_what_it_released(browser, live):
    browser.open(f"dags/ci_cd/runs/{live.run_id}/plugin/tke")
    browser.see("//section[starts-with(@aria-label, 'shop in production')]")


def test_a_person_deploys_and_approves_on_the_board(browser, api, live, good, repository):
    before = set(api.runs("ci_cd"))
    browser.open("plugin/tke")
    browser.see("//button[text()='Deploy a commit']").click()
    values = {"git_url": repository.url, "commit": good, "base_image": BASE_IMAGE}
    for name, value in values.items():
        field = browser.see(f"//input[@id='Deploy-{name}']")
        browser.until(field.is_enabled)
        field.clear()
        field.send_keys(value)
    browser.see("//form//button[text()='Deploy'][not(@disabled)]").click()
    browser.see("//form//*[contains(text(), 'Started:')]")
    (run_id,) = set(api.runs("ci_cd")) - before
    browser.see("//button[text()='Approve']", seconds=180).click()
    states = {task["task_id"]: task["state"] for task in api.follow("ci_cd", run_id)}
    assert api.state("ci_cd", run_id) == "success", states


def test_a_person_rolls_back_to_a_release_of_the_history(browser, api, live):
    api.unpause("roll_back")
    before = set(api.runs("roll_back"))
    cell = "//section[starts-with(@aria-label, 'shop in production')]"
    browser.open("plugin/tke")
    browser.see(f"{cell}//button[text()='History']").click()
    browser.see(f"({cell}//button[text()='Roll back to this'])[last()]").click()
    field = browser.see("//input[@id='Roll back-revision']")
    assert field.get_attribute("value")
    assert browser.see("//input[@id='Roll back-service']").get_attribute("value") == "shop"
    browser.keep("roll-back")
    browser.see("//form//button[text()='Roll back'][not(@disabled)]").click()
    browser.see("//form//*[contains(text(), 'Started:')]")
    (run_id,) = set(api.runs("roll_back")) - before
    states = {task["task_id"]: task["state"] for task in api.follow("roll_back", run_id)}
    assert api.state("roll_back", run_id) == "success", states


def test_a_person_gives_a_service_another_size_on_the_board(browser, api, apps, live):
    api.unpause("scale_service")
    before = set(api.runs("scale_service"))
    present = apps.read_namespaced_deployment("stock", "production").spec.replicas
    browser.open("plugin/tke")
    browser.see("//section[starts-with(@aria-label, 'stock in production')]//button[text()='Scale']").click()
    assert browser.see("//input[@id='Scale-service']").get_attribute("value") == "stock"
    field = browser.see("//input[@id='Scale-replicas']")
    field.clear()
    field.send_keys(str(present + 1))
    browser.see("//form//button[text()='Scale'][not(@disabled)]").click()
    browser.see("//form//*[contains(text(), 'Started:')]")
    (run_id,) = set(api.runs("scale_service")) - before
    states = {task["task_id"]: task["state"] for task in api.follow("scale_service", run_id)}
    assert api.state("scale_service", run_id) == "success", states
    assert apps.read_namespaced_deployment("stock", "production").status.ready_replicas == present + 1
    apps.patch_namespaced_deployment_scale("stock", "production", {"spec": {"replicas": present}})


@pytest.mark.parametrize("path", ["releases", "calendars", f"live?{SHOP}", f"changes?{SHOP}&revision=1"])
def test_who_may_read_the_board(airflow, passwords, live, path):
    assert httpx.get(f"{airflow.airflow_url}/tke/api/{path}").status_code == 401
    for user in ("viewer", "user", "operator", "admin"):
        answer = AirflowApi(airflow.airflow_url, user, passwords[user]).http.get(f"/tke/api/{path}")
        assert answer.status_code == 200, user


def test_a_viewer_starts_nothing(airflow, passwords, good):
    viewer = AirflowApi(airflow.airflow_url, "viewer", passwords["viewer"])
    body = {"conf": {"commit": good}, "logical_date": None}
    assert viewer.http.post("/api/v2/dags/ci_cd/dagRuns", json=body).status_code == 403
