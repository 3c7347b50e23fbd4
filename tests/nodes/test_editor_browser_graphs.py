"""Our reading of the UI format against the frontend's own: both give the same API format."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from ganvas.nodes.engine.ui_format import ui_to_api

from .editor_browser import NO_TEMPLATES, visiting

pytestmark = pytest.mark.slow
BUILD = """async edit => {
  app.graph.clear();
  const add = (type, x = 0, y = 600) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, y];
    app.graph.add(node);
    return node;
  };
  const slot = (node, name) => node.inputs.findIndex(each => each.name == name);
  const link = (from, to, name) => from.connect(0, to, slot(to, name));
  const group = (...nodes) => app.graph.convertToSubgraph(new Set(nodes)).node;
  const load = add('Ganvas_LoadGenerator', 0, 0), sample = add('Ganvas_SampleLatents', 340, 0);
  const find = add('Ganvas_FindDirections', 0, 300), move = add('Ganvas_ApplyDirection', 700, 0);
  const draw = add('Ganvas_Synthesize', 1160, 0), save = add('SaveImage', 1500, 0);
  for (const node of [sample, find, draw]) link(load, node, 'generator');
  link(sample, move, 'latents');
  link(find, move, 'direction');
  link(move, draw, 'latents');
  link(draw, save, 'images');
  const settle = () => new Promise(done => setTimeout(done, 150));
  const change = new Function(
    'add', 'slot', 'link', 'group', 'settle', 'load', 'sample', 'find', 'move', 'draw', 'save',
    `return (async () => { ${edit} })()`,
  );
  await change(add, slot, link, group, settle, load, sample, find, move, draw, save);
  await settle();
  return [(await app.graphToPrompt()).output, app.graph.serialize()];
}"""
EDITS = {
    "as it is": ("", 6),
    "a muted node": ("move.mode = 2", 5),
    "a bypassed node": ("move.mode = 4", 5),
    "a muted source": ("find.mode = 2", 5),
    "a bypassed output": ("save.mode = 4; link(draw, add('PreviewImage'), 'images')", 6),
    "reroute nodes": (
        "const a = add('Reroute'), b = add('Reroute'); sample.connect(0, a, 0);"
        "a.connect(0, b, 0); b.connect(0, move, 0)",
        6,
    ),
    "reroutes of a link": (
        "app.graph.createReroute([500, 500], [...app.graph.links.values()][3])",
        6,
    ),
    "a primitive node": (
        "const p = add('PrimitiveNode'); p.connect(0, sample, slot(sample, 'seed'));"
        "await settle(); p.widgets[0].value = 77",
        6,
    ),
    "a constant": (
        "const p = add('PrimitiveInt'); p.widgets[0].value = 78; link(p, sample, 'seed')",
        7,
    ),
    "a switch": (
        "const s = add('ComfySwitchNode'); link(load, s, 'on_false'); link(load, s, 'on_true');"
        "link(s, draw, 'generator')",
        7,
    ),
    "notes": ("add('Note'); add('MarkdownNote')", 6),
    "an unconnected node": ("add('Ganvas_Synthesize')", 7),
    "a subgraph": ("group(sample, move)", 6),
    "a subgraph of everything": ("group(load, sample, find, move, draw, save)", 6),
    "a subgraph in a subgraph": ("group(group(sample, move), draw)", 6),
    "a muted node in a subgraph": ("move.mode = 2; group(sample, move)", 5),
    "a muted subgraph": ("group(move).mode = 2", 5),
    "a bypassed subgraph": ("group(move).mode = 4", 5),
    "a reroute in a subgraph": (
        "const r = add('Reroute'); sample.connect(0, r, 0); r.connect(0, move, 0);"
        "group(sample, r, move)",
        6,
    ),
    "a widget of a subgraph": (
        "const outer = group(sample); const inner = outer.subgraph.nodes[0];"
        "outer.subgraph.addInput('seed', 'INT').connect(inner.inputs[slot(inner, 'seed')], inner);"
        "await settle(); outer.widgets.find(widget => widget.name == 'seed').value = 1234",
        6,
    ),
}


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    with visiting(tmp_path_factory.mktemp("editor"), NO_TEMPLATES) as found:
        found.open()
        yield found


def comparable(prompt):
    return {
        id: (node["class_type"], node["inputs"], node["_meta"]["title"])
        for id, node in prompt.items()
    }


@pytest.mark.parametrize("edit", EDITS)
def test_the_api_format_is_the_frontends(visit, edit):
    script, count = EDITS[edit]
    theirs, saved = visit.page.evaluate(BUILD, script)
    assert len(theirs) == count
    assert comparable(ui_to_api(saved, visit.editor.registry)) == comparable(theirs)
    if edit == "a widget of a subgraph":
        assert 1234 in [node["inputs"].get("seed") for node in theirs.values()]
    assert visit.failures == []
