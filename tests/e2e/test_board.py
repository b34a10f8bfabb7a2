"""The board in a real browser: what people see and do, and what they may not."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus

import httpx
import pytest

from local import STATE
from local.airflow_api import AirflowApi
from local.endpoints import AIRFLOW_LOGINS_FILE, BASE_IMAGE
from local.registry import status_of
from tests.browser import WIDTHS, resize, retype, see, start, until
from tests.plugin import routes

pytestmark = pytest.mark.e2e

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

    def see(self, xpath: str, seconds: float = 90):
        return see(self.driver, xpath, seconds)

    def until(self, holds, seconds: float = 90, what: str = ""):
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


@pytest.mark.parametrize("browser", ["wide"], indirect=True)
def test_a_dag_a_run_and_a_task_show_what_they_released(browser, live):
    for path, others in (("", True), (f"/runs/{live.run_id}", True), ("/tasks/production.deploy_shop", False)):
        browser.open(f"dags/ci_cd{path}/plugin/tke")
        browser.see("//section[starts-with(@aria-label, 'shop in production')]")
        found = browser.driver.find_elements("xpath", "//section[contains(@aria-label, ' in pre-release')]")
        assert bool(found) == others, path


@pytest.mark.parametrize("browser", ["narrow"], indirect=True)
def test_a_person_deploys_and_approves_on_the_board(browser, api, live, good, repository):
    before = set(api.runs("ci_cd"))
    browser.open("plugin/tke")
    browser.see("//button[text()='Deploy a commit']").click()
    values = {"git_url": repository.url, "commit": good, "base_image": BASE_IMAGE}
    for name, value in values.items():
        field = browser.see(f"//input[@id='Deploy-{name}']")
        browser.until(field.is_enabled)
        retype(field, value)
    browser.see("//form//button[text()='Deploy'][not(@disabled)]").click()
    browser.see("//form//*[contains(text(), 'Started:')]")
    (run_id,) = set(api.runs("ci_cd")) - before
    browser.see("//button[text()='Approve']", seconds=300).click()
    states = {task["task_id"]: task["state"] for task in api.follow("ci_cd", run_id)}
    assert api.state("ci_cd", run_id) == "success", states


@pytest.mark.parametrize("browser", ["wide"], indirect=True)
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


@pytest.mark.parametrize("browser", ["narrow"], indirect=True)
def test_a_person_gives_a_service_another_size_on_the_board(browser, api, apps, live):
    api.unpause("scale_service")
    before = set(api.runs("scale_service"))
    present = apps.read_namespaced_deployment("stock", "production").spec.replicas
    browser.open("plugin/tke")
    browser.see("//section[starts-with(@aria-label, 'stock in production')]//button[text()='Scale']").click()
    assert browser.see("//input[@id='Scale-service']").get_attribute("value") == "stock"
    field = browser.see("//input[@id='Scale-replicas']")
    retype(field, str(present + 1))
    browser.see("//form//button[text()='Scale'][not(@disabled)]").click()
    browser.see("//form//*[contains(text(), 'Started:')]")
    (run_id,) = set(api.runs("scale_service")) - before
    states = {task["task_id"]: task["state"] for task in api.follow("scale_service", run_id)}
    assert api.state("scale_service", run_id) == "success", states
    assert apps.read_namespaced_deployment("stock", "production").status.ready_replicas == present + 1
    apps.patch_namespaced_deployment_scale("stock", "production", {"spec": {"replicas": present}})


@pytest.mark.parametrize("browser", ["wide"], indirect=True)
def test_a_person_promotes_the_image_that_is_live_on_the_board(browser, airflow, api, live):
    api.unpause("scanned_promotion")
    before = set(api.runs("scanned_promotion"))
    digest = live.result("shop.build")["digest"]
    scanned = httpx.post(f"{airflow.emulator_url}/_emulator/scan", json={"digest": digest, "found": {}}, timeout=60)
    scanned.raise_for_status()
    browser.open("plugin/tke")
    browser.see("//section[starts-with(@aria-label, 'shop in pre-release')]//button[text()='Promote']").click()
    assert browser.see("//input[@id='Promote-image']").get_attribute("value").endswith(f"@{digest}")
    field = browser.see("//input[@id='Promote-to_repository']")
    promoted_to = f"production/pressed-{uuid.uuid4().hex[:8]}"
    retype(field, promoted_to)
    browser.keep("promote")
    browser.see("//form//button[text()='Promote'][not(@disabled)]").click()
    browser.see("//form//*[contains(text(), 'Started:')]")
    (run_id,) = set(api.runs("scanned_promotion")) - before
    states = {task["task_id"]: task["state"] for task in api.follow("scanned_promotion", run_id)}
    assert states == dict.fromkeys(("repository", "scan_gate", "promote"), "success")
    assert status_of(f"{promoted_to}/manifests/{digest}") == HTTPStatus.OK


@pytest.fixture(scope="module")
def people(airflow, passwords) -> dict[str, httpx.Client]:
    """A client of each role, and one of nobody."""
    roles = ("viewer", "user", "operator", "admin")
    known = {role: AirflowApi(airflow.airflow_url, role, passwords[role]).http for role in roles}
    nobody = httpx.Client(base_url=airflow.airflow_url, timeout=60, trust_env=False)
    return {"nobody": nobody, **known}


@pytest.mark.parametrize(("path", "query"), routes.READ.items(), ids=list(routes.READ))
def test_who_may_read_the_board(people, live, path, query):
    said = {who: client.get(f"/tke{path}?{query}").status_code for who, client in people.items()}
    assert said.pop("nobody") == 401
    assert set(said.values()) == {200}, said


def test_a_login_opens_no_webhook_and_the_page_needs_none(people):
    unsigned = {who: client.post("/tke/webhooks/nobody", content=b"{}").status_code for who, client in people.items()}
    assert unsigned == dict.fromkeys(people, 404)
    assert {client.get("/tke/static/board.js").status_code for client in people.values()} == {200}
    assert {client.post("/tke/api/releases").status_code for client in people.values()} == {405}


@pytest.mark.parametrize(
    ("dag_id", "conf", "wrong"),
    [
        ("ci_cd", {"commit": "main"}, "commit"),
        ("scale_service", {"service": "shop", "replicas": 1000}, "replicas"),
        ("release_spec", {"commit": "a" * 40, "build": "some"}, "build"),
        ("scanned_promotion", {"image": "shop:latest"}, "image"),
        ("canary_release", {}, "git_url"),
    ],
)
def test_a_wrong_value_is_refused_before_a_run_is_made(people, dag_id, conf, wrong):
    answer = people["admin"].post(f"/api/v2/dags/{dag_id}/dagRuns", json={"conf": conf, "logical_date": None})
    assert answer.status_code == 400
    assert f"Invalid input for param {wrong}" in answer.json()["detail"]


def test_a_viewer_starts_nothing(airflow, passwords, good):
    viewer = AirflowApi(airflow.airflow_url, "viewer", passwords["viewer"])
    body = {"conf": {"commit": good}, "logical_date": None}
    assert viewer.http.post("/api/v2/dags/ci_cd/dagRuns", json=body).status_code == 403
