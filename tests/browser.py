"""A real browser without a window, and what a person does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.packages import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

WIDTHS = {"wide": (1280, 900), "narrow": (390, 844)}


def start() -> WebDriver:
    """Start a browser; whoever starts it quits it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    need("chromium", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    # As root there is no sandbox.
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *quiet):
        options.add_argument(word)
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def resize(driver: WebDriver, width: int, height: int) -> None:
    """Look through a screen of this size: a window has a least width, a device has not."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def see(driver: WebDriver, xpath: str, seconds: float = 90) -> WebElement:
    """Return what is there, or will be in time."""
    from selenium.webdriver.common.by import By

    found: list[WebElement] = until(driver, lambda: driver.find_elements(By.XPATH, xpath), seconds, xpath)
    return found[0]


def retype(field: WebElement, text: str) -> None:
    """Type over what a field says, as a person does: the page hears nothing of WebDriver's own way to clear it."""
    from selenium.webdriver.common.keys import Keys

    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text)
    until(field.parent, lambda: field.get_attribute("value") == text, what=f"the field says {text}")


def until(driver: WebDriver, holds: Callable[[], Any], seconds: float = 90, what: str = "") -> Any:
    """Wait until something holds, and return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    waiting = WebDriverWait(driver, seconds, poll_frequency=0.05)
    return waiting.until(lambda _: holds(), f"not within {seconds:g} s: {what}")
