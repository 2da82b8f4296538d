"""Pictures of a run's report for the documentation: light, dark, and as wide as a phone.

    rephrase-rl demo --arm repo --set data.0.limit=160 --no-check --out runs/pictures
    python scripts/report_screenshots.py runs/pictures/repo

With 160 problems each is visited four times. The group shown is the injected one that is least
likely given q alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from chromium import chromium

from rephrase_rl.reports import write_report

WIDE = {"width": 1200, "height": 820}
PHONE = {"width": 360, "height": 740}
MOST_BYTES = 200_000


class Picture(NamedTuple):
    """One file."""

    name: str
    view: str
    scheme: str = "light"
    size: dict[str, int] = WIDE
    below: str = ""
    """Selector of what is scrolled to."""


GROUPS = "#groups?show=rescued&sort=logp_q"
PICTURES = (
    Picture("overview-light", "#overview", below="#curves"),
    Picture("groups-light", GROUPS),
    Picture("group-light", "group"),
    Picture("group-dark", "group", "dark", below="#group h3:has-text('Token by token')"),
    Picture("problems-dark", "#problems?show=hard", "dark"),
    Picture("phone-light", GROUPS, size=PHONE),
    Picture("phone-dark", "group", "dark", PHONE, "#group h3:has-text('Side by side')"),
)


def main() -> None:
    """Write the report anew and take every picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--out", type=Path, default=Path("docs/report"))
    options = parser.parse_args()
    index = write_report(options.run).index.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for picture in PICTURES:
            file = options.out / f"{picture.name}.png"
            take(browser, index, picture, file)
            size = file.stat().st_size
            print(f"{file}  {size / 1000:.0f} kB")
            if size > MOST_BYTES:
                raise SystemExit(f"{file} has {size} bytes; at most {MOST_BYTES}: show less of it")


def take(browser: Any, index: Path, picture: Picture, file: Path) -> None:
    """One picture, as the reader sees the page."""
    tab = browser.new_page(viewport=picture.size, color_scheme=picture.scheme)
    tab.goto(index.as_uri() + (GROUPS if picture.view == "group" else picture.view))
    tab.wait_for_selector("html[data-ready]")
    if picture.view == "group":
        tab.click("#table-body .row-link >> nth=0")
        tab.wait_for_selector("#group:not([hidden])")
    if picture.below:
        tab.locator(picture.below).evaluate("(part) => scrollTo(0, part.offsetTop - 70)")
    tab.wait_for_timeout(300)
    tab.screenshot(path=str(file))
    tab.close()


if __name__ == "__main__":
    main()
