"""What tests of pages share: the log of the browser, and pictures of parts of a page."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

NO_SELENIUM = "selenium is not installed: pages are not tested"
NO_BROWSER = "no browser here, pages are not tested: apt-get install chromium chromium-driver"


def open_page(browser, path: Path) -> None:
    """Opens a page from disk, with an empty log."""
    browser.get_log("browser"), browser.get_log("performance")  # of the page before
    browser.get(path.as_uri())


def check_log(browser) -> None:
    """Nothing was complained of since `open_page`, and nothing fetched from a network."""
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not complaints
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert urls and all(url.startswith(("file:", "data:", "blob:")) for url in urls), urls


def picture(browser, selector: str) -> np.ndarray:
    """What the first such element looks like, `[height, width, 3]` in 0..255."""
    return np.asarray(Image.open(io.BytesIO(browser.find_element("css selector", selector).screenshot_as_png)))[..., :3]
