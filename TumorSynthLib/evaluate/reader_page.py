"""The page of a reader study: one HTML file with the images in it, which needs no network and sends nothing."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from TumorSynthLib.evaluate.reader_script import SCRIPT

_STYLE = """
body { margin: 0; background: #111; color: #ddd; font: 15px/1.4 system-ui, sans-serif; }
header, footer { padding: 8px 16px; background: #1c1c1c; }
main { display: flex; flex-wrap: wrap; gap: 16px; padding: 16px; }
canvas { background: #000; width: min(70vh, 90vw); height: min(70vh, 90vw); image-rendering: auto; object-fit: contain; }
aside { max-width: 26em; }
button { font: inherit; margin: 2px; padding: 6px 12px; background: #333; color: #eee; border: 1px solid #555; }
button.on { background: #2a6; color: #000; }
input { font: inherit; background: #222; color: #eee; border: 1px solid #555; padding: 4px; }
kbd { background: #333; border-radius: 3px; padding: 0 5px; }
progress { width: 100%; }
"""

_BODY = """
<header><strong>__TITLE__</strong> &mdash; <span id="where"></span>
<label>Reader <input id="reader" autocomplete="off"></label></header>
<main>
<canvas id="view" width="640" height="640" tabindex="0" aria-label="axial slice"></canvas>
<aside>
<p>Is this tumor real or synthetic?</p>
<p><button id="real">Real <kbd>R</kbd></button><button id="synthetic">Synthetic <kbd>S</kbd></button></p>
<p>Confidence, 1 guess to 5 certain:<br><span id="confidence"></span></p>
<p>Window <kbd>W</kbd>:<br><span id="windows"></span></p>
<p><label>Slice <input id="slice" type="range" min="0" step="1"></label> <span id="place"></span></p>
<p><button id="mark">Marker <kbd>M</kbd></button></p>
<p><button id="back">Previous <kbd>P</kbd></button><button id="next">Save and next <kbd>Enter</kbd></button></p>
<p>Wheel or arrow keys: scroll through the slices. Answers stay in this browser until they are exported.</p>
<progress id="done" value="0"></progress>
<p><button id="json">Export JSON</button><button id="csv">Export CSV</button></p>
</aside>
</main>
<footer>Research only. Not for clinical use.</footer>
"""


def page(title: str, identity: str, cases: Sequence[Mapping[str, Any]]) -> str:
    """The whole page.

    Parameters
    ----------
    title : shown above the images.
    identity : of the study; answers are kept and exported under it.
    cases : what ``reader_study.embedded`` gives, with a ``name``. Whatever is in them can be read in the page, so the truth
        must not be.
    """
    # "</" would end the script element wherever it stood in the data.
    study = json.dumps({"id": identity, "cases": list(cases)}).replace("</", "<\\/")
    shown = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; img-src data: blob:\">\n"
        f"<title>{shown}</title>\n<style>{_STYLE}</style>\n</head>\n<body>"
        f"{_BODY.replace('__TITLE__', shown)}"
        f'<script id="study" type="application/json">{study}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n'
    )
