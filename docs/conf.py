"""Sphinx configuration of the documentation; built by ``make docs``, without any network."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "docs" / "_ext")]

from rephrase_rl import __version__  # noqa: E402  (found by the path above)

project = "rephrase-rl"
author = "The rephrase-rl contributors"
copyright = "2026, the rephrase-rl contributors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "accessible_pages",
    "generated_reference",
    "leftover_pages",
    "outside_links",
]
exclude_patterns = ["_ext"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
suppress_warnings = [
    "myst.header",  # pages begin below their title with the level that they need
    "ref.python",  # annotations have short names, of which two modules may have one each
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "ignore-module-all": True,  # a name is described where it is defined, and there alone
}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"rephrase-rl {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"  # from accessible-pygments, which furo brings
pygments_dark_style = "a11y-high-contrast-dark"
