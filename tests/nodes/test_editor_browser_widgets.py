"""Our own widgets on the page: the latent pad and the A/B slider, in both looks of the nodes."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from .editor_browser import NO_TEMPLATES, visiting

pytestmark = pytest.mark.slow
BUILD = """() => {
  app.graph.clear();
  const add = (type, x, y) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, y];
    app.graph.add(node);
    return node;
  };
  const link = (from, to, name) =>
    from.connect(0, to, to.inputs.findIndex(slot => slot.name == name));
  const load = add('Ganvas_LoadGenerator', 0, 0), sample = add('Ganvas_SampleLatents', 340, 0);
  const right = add('Ganvas_FindDirections', 0, 200), up = add('Ganvas_FindDirections', 0, 460);
  const pad = add('Ganvas_LatentPad', 720, 0);
  const before = add('Ganvas_Synthesize', 720, 460), after = add('Ganvas_Synthesize', 1160, 0);
  const compare = add('Ganvas_CompareImages', 1160, 400);
  for (const node of [sample, right, up, pad, before, after]) link(load, node, 'generator');
  link(sample, pad, 'latents');
  link(right, pad, 'direction_x');
  link(up, pad, 'direction_y');
  link(pad, after, 'latents');
  link(sample, before, 'latents');
  link(before, compare, 'image_a');
  link(after, compare, 'image_b');
  up.widgets.find(widget => widget.name == 'index').value = 1;
  for (const node of app.graph._nodes)
    for (const widget of node.widgets ?? [])
      if (widget.name == 'control_after_generate') widget.value = 'fixed';
  sample.widgets.find(widget => widget.name == 'count').value = 2;
  Object.assign(window, { pad, compare });
  app.canvas.ds.scale = 0.8;
  app.canvas.ds.offset = [30, 120];
  app.canvas.setDirty(true, true);
}"""
FACE = "document.querySelector('.ganvas-pad-face img').src"
VALUES = "['x', 'y'].map(name => pad.widgets.find(widget => widget.name == name).value)"
BORDER = "document.querySelector('.ganvas-compare-view').getAttribute('aria-valuenow')"
WORDS = "document.querySelector('.ganvas-compare-text').textContent"


@pytest.fixture(scope="module", params=["canvas", "vue"])
def visit(request, tmp_path_factory):
    settings = {**NO_TEMPLATES, "Comfy.VueNodes.Enabled": request.param == "vue"}
    with visiting(tmp_path_factory.mktemp("editor"), settings) as found:
        found.open()
        found.page.evaluate(BUILD)
        found.page.wait_for_selector(".ganvas-pad-plane")
        yield found


def drag(page, selector, start, end):
    """Drag inside an element, from one place to another in shares of its size."""
    box = page.locator(selector).first.bounding_box()

    def at(place):
        return box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"]

    page.mouse.move(*at(start))
    page.mouse.down()
    page.mouse.move(*at(end), steps=6)
    page.mouse.up()


def test_the_face_follows_the_handle(visit, request):
    page, editor = visit.page, visit.editor
    drag(page, ".ganvas-pad-plane", (0.5, 0.5), (0.5, 0.5))
    page.wait_for_function(FACE)
    middle = page.evaluate(FACE)
    drag(page, ".ganvas-pad-plane", (0.5, 0.5), (0.8, 0.3))
    assert page.evaluate(VALUES) == pytest.approx([3.0, 2.0], abs=0.15)
    page.wait_for_function(
        "face => document.querySelector('.ganvas-pad-face img').src != face", arg=middle
    )
    x, y = page.evaluate(VALUES)
    page.wait_for_function(
        f"document.querySelector('.ganvas-pad-text').textContent == 'x {x:.2f}   y {y:.2f}'"
    )
    assert editor.queue.history() == []  # no job of the list for a movement of the hand
    assert not list(editor.host.output_dir.iterdir())
    visit.look(f"11_latent_pad_{request.node.callspec.id}")

    drag(page, ".ganvas-pad-plane", (0.8, 0.3), (1.5, -0.5))
    assert page.evaluate(VALUES) == [5, 5]
    page.locator(".ganvas-pad-plane").first.press("ArrowLeft")
    assert page.evaluate(VALUES) == [4.9, 5]
    page.locator(".ganvas-pad-plane").first.press("Home")
    assert page.evaluate(VALUES) == [0, 0]
    page.locator(".ganvas-pad-plane").first.press("Shift+ArrowUp")
    saved = page.evaluate("app.graph.serialize().nodes.find(node => node.id == pad.id)")
    assert saved["widgets_values"] == [0, 1]  # the pad itself keeps nothing


def test_a_refused_preview_says_why_on_the_pad(visit):
    page = visit.page
    page.evaluate("void pad.disconnectInput(3)")
    page.locator(".ganvas-pad-plane").first.press("ArrowLeft")
    page.wait_for_selector(".ganvas-pad-text.failed")
    assert "Required input is missing" in page.locator(".ganvas-pad-text").first.text_content()
    page.evaluate(
        "void app.graph._nodes.filter(n => n.type == 'Ganvas_FindDirections')[1].connect(0, pad, 3)"
    )
    page.locator(".ganvas-pad-plane").first.press("ArrowRight")
    page.wait_for_selector(".ganvas-pad-text:not(.failed)")
    visit.failures[:] = [text for text in visit.failures if "400" not in text]


def test_the_slider_uncovers_the_second_image(visit, request):
    page = visit.page
    visit.run()
    assert visit.ended(1) == "completed"
    page.wait_for_function("document.querySelectorAll('.ganvas-compare-view img')[1].naturalWidth")
    words = page.evaluate(WORDS)
    assert words.startswith("1/2") and "PSNR" in words and "SSIM" in words
    drag(page, ".ganvas-compare-view", (0.5, 0.5), (0.25, 0.5))
    assert int(page.evaluate(BORDER)) == pytest.approx(25, abs=2)
    clip = page.evaluate("document.querySelectorAll('.ganvas-compare-view img')[1].style.clipPath")
    assert clip.startswith("inset(0px 7")
    page.locator(".ganvas-compare-view").first.press("ArrowRight")
    assert int(page.evaluate(BORDER)) == pytest.approx(30, abs=2)
    page.locator(".ganvas-compare-row button").nth(1).click()
    assert page.evaluate(WORDS).startswith("2/2")
    visit.look(f"12_slider_{request.node.callspec.id}")
    assert visit.failures == []
