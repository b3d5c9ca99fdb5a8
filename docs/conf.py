"""The documentation as a site. `make docs` writes it to docs/_build; it needs no network and loads nothing from one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "vitalora"
author = "the vitalora authors"
project_copyright = "the vitalora authors"
extensions = ["myst_parser", "mathml"]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "vitalora"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["formulas.css"]
html_copy_source = False
html_show_sphinx = False
