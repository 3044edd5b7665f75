"""Reads files of dashboards into the classes of Grafana's own SDK and writes them again: what is not the same then was not understood.
Writes a line for each finding.

    target/peers/python/bin/python tests/peers/grafana/roundtrip.py dashboards/*.json
"""

import json
import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import AnnotationQuery, Dashboard, Panel, RowPanel
from grafana_foundation_sdk.models.prometheus import Dataquery, PromQueryFormat, QueryEditorMode

# The class of annotations is for those of Grafana's own store. These are read by the data source of Prometheus.
PROMETHEUS_ONLY = {"step", "tagKeys", "target", "textFormat", "titleFormat", "useValueForTime"}


def parts(dashboard):
    """What has a title stands by itself: the title, its class, and its value."""
    panels = dashboard["panels"]
    rows = [panel for panel in panels if panel["type"] == "row"]
    yield dashboard["title"], Dashboard, {**dashboard, "annotations": {}, "panels": []}
    for annotation in dashboard["annotations"]["list"]:
        own = {key: annotation[key] for key in annotation.keys() - PROMETHEUS_ONLY}
        yield annotation["name"], AnnotationQuery, own
        if "target" in annotation:
            yield annotation["name"], Dataquery, annotation["target"]
    for row in rows:
        yield row["title"], RowPanel, {**row, "panels": []}
    for panel in [*panels, *(inner for row in rows for inner in row["panels"])]:
        if panel not in rows:
            yield panel.get("title"), Panel, panel


def differences(before, after, path=()):
    """Where `before` holds something that `after` does not. What only `after` holds are defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from differences(value, after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after)):
            yield from differences(*pair, (*path, str(index)))
    elif before != after:
        yield f"{'.'.join(path)}: {json.dumps(before)} became {json.dumps(after)}"


def findings(kind, value):
    try:
        understood = kind.from_json(value)
        for query in getattr(understood, "targets", None) or []:
            # The classes take any text for a member of an enumeration.
            QueryEditorMode(query.editor_mode or "code")
            PromQueryFormat(query.format_val or "time_series")
        yield from differences(value, json.loads(JSONEncoder().encode(understood)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        yield f"not read: {error!r}"


def main(paths):
    register_default_plugins()
    found = False
    for path in map(pathlib.Path, paths):
        for title, kind, value in parts(json.loads(path.read_text())):
            for finding in findings(kind, value):
                print(f"{path.name}: {title}: {finding}")
                found = True
    return found


sys.exit(main(sys.argv[1:]))
