"""Pages for people: HTML from the templates of this package, escaped throughout."""

from pathlib import Path
from typing import Any

import jinja2


def render_page(template: str, **values: Any) -> str:
    """The page that `template` makes of `values`; a value that it lacks is an error."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    page = environment.get_template(template).render(**values)
    # A file name may hold bytes that are no text; UTF-8 has no way to write them.
    return page.encode("utf-8", "backslashreplace").decode()
