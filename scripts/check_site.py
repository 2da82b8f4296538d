"""Whether the built site is whole and keeps to itself.

    python scripts/check_site.py build/docs

Every link inside the site has to lead to a file and an anchor that are there, and no page may fetch
anything from elsewhere: no script, style, font or picture of another host. Links that a reader
follows to other sites are allowed, over https.
"""

from __future__ import annotations

import argparse
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHING = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
}
"""Elements that make a browser ask for something, and their attributes."""
NOT_FETCHED = {"canonical", "next", "prev", "index", "search", "author", "license"}
"""Relations of a link element that are said and not fetched."""
_STYLE_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


class Page(HTMLParser):
    """Ids, links and fetched addresses of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element refers to."""
        given = {name: value or "" for name, value in attrs}
        for name in ("id", "name"):
            if given.get(name):
                self.ids.add(given[name])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and set(given.get("rel", "").split()) & NOT_FETCHED:
            return
        self.fetched += [given[name] for name in FETCHING.get(tag, ()) if given.get(name)]
        if "style" in given:
            self.fetched += style_addresses(given["style"])


def style_addresses(text: str) -> list[str]:
    """Addresses that a style sheet fetches."""
    return [first or second for first, second in _STYLE_URL.findall(text)]


def faults_of(site: Path) -> list[str]:
    """Everything that is wrong with the site, in words."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}
    pages = {path: Page(text) for path, text in texts.items()}
    if not pages:
        return [f"no page under {site}"]
    faults = []
    for path, page in pages.items():
        where = path.relative_to(site)
        for address in page.fetched:
            parts = urlsplit(address)
            if parts.scheme not in ("", "data") or parts.netloc:
                faults.append(f"{where} fetches {address}")
            elif parts.scheme != "data" and not _target(path, parts.path).is_file():
                faults.append(f"{where} fetches {address}, which is not there")
        for link in page.links:
            faults += [f"{where}: {fault}" for fault in _link_faults(path, link, pages)]
    for path in sorted(site.rglob("*.css")):
        for address in style_addresses(path.read_text(encoding="utf-8")):
            parts = urlsplit(address)
            if parts.netloc or parts.scheme not in ("", "data"):
                faults.append(f"{path.relative_to(site)} fetches {address}")
    return faults


def _link_faults(path: Path, link: str, pages: dict[Path, Page]) -> list[str]:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return [] if parts.scheme in ("https", "mailto") else [f"{link} is not over https"]
    target = _target(path, parts.path) if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return [f"{link} leads nowhere"]
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].ids:
        return [f"{link}: no such place in {target.name}"]
    return []


def _target(path: Path, relative: str) -> Path:
    return (path.parent / unquote(relative)).resolve()


def main() -> int:
    """Print every fault; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("site", type=Path, help="folder of the built pages")
    site = parser.parse_args().site.resolve()
    faults = faults_of(site)
    for fault in faults:
        print(fault)
    print(f"{len(list(site.rglob('*.html')))} pages, {len(faults)} fault(s)")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
