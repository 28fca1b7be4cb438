"""One run folder -> one HTML file that needs nothing else: no network, no clock, no random ids."""

from __future__ import annotations

import json
from pathlib import Path

from truefill.report.figures import figures_of
from truefill.report.gather import gather
from truefill.report.page import page_of

TEMPLATE = "template.html.j2"


def render_report(run_folder: Path) -> str:
    """The report of a run that has a verdict. The same folder gives the same bytes.

    Raises:
        ArtifactError: an artifact is missing or not readable.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    run = gather(run_folder)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = json.dumps(figures_of(run), separators=(",", ":"), allow_nan=False)
    return environment.get_template(TEMPLATE).render(
        page=page_of(run),
        figures=figures.replace("<", "\\u003c"),
        plotlyjs=get_plotlyjs(),
    )
