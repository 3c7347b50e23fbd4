"""Templates and blueprints in the real frontend: they run, and pictures push nothing over another.

Takes a browser; see editor_browser.
"""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from .editor_browser import NO_TEMPLATES, visiting

pytestmark = pytest.mark.slow
TITLE_BAR = 30
NODES = """app.graph._nodes.map(n => ({
  title: n.title, x: n.pos[0], y: n.pos[1], width: n.size[0], height: n.size[1],
}))"""
PLACE = """async name => {
  const found = Object.values(await app.api.getGlobalSubgraphs()).find(b => b.name === name);
  await app.loadGraphData(JSON.parse(await found.data), true, false);
}"""


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    with visiting(tmp_path_factory.mktemp("editor"), NO_TEMPLATES) as found:
        yield found


@pytest.mark.parametrize("name", ["latent_walk", "degrade_and_restore"])
def test_a_template_runs_and_nothing_overlaps_afterwards(visit, name):
    done = len(visit.editor.queue.history())
    visit.open(f"?template={name}&source=ganvas")
    visit.page.wait_for_function("window.app?.graph?._nodes.length > 5")
    visit.page.wait_for_timeout(500)
    assert overlapping(visit.page.evaluate(NODES)) == []
    visit.run()
    assert visit.ended(done + 1) == "completed"
    visit.page.wait_for_function("app.graph._nodes.some(n => n.imgs?.length)")
    visit.page.wait_for_timeout(500)
    visit.look(f"template_{name}")
    assert overlapping(visit.page.evaluate(NODES)) == []
    assert visit.failures == []


@pytest.mark.parametrize("name", ["Sample faces", "Degrade and restore"])
def test_a_blueprint_opens_with_its_settings_outside(visit, name):
    visit.open()
    visit.page.wait_for_timeout(1500)  # until the page has brought back what was open before
    visit.page.evaluate(PLACE, name)
    visit.page.wait_for_function("app.graph._nodes.length == 1")
    title, widgets = visit.page.evaluate(
        "[app.graph._nodes[0].title, app.graph._nodes[0].widgets.map(w => [w.name, w.value])]"
    )
    values = dict(widgets)
    assert title == name and values["model"].endswith("-64.safetensors")
    assert values["seed"] == 0 and len(values) == 4
    assert visit.failures == []


def overlapping(nodes):
    """Pairs of titles of nodes that lie over each other."""
    return [
        (a["title"], b["title"])
        for i, a in enumerate(nodes)
        for b in nodes[:i]
        if a["x"] < b["x"] + b["width"]
        and b["x"] < a["x"] + a["width"]
        and a["y"] - TITLE_BAR < b["y"] + b["height"]
        and b["y"] - TITLE_BAR < a["y"] + a["height"]
    ]
