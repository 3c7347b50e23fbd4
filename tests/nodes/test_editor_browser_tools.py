"""What else a user does on the page: uploads, masks, help, another language."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from PIL import Image

from .editor_browser import NO_TEMPLATES, visiting, wait
from .editor_client import png

pytestmark = pytest.mark.slow
LOAD_AND_SHOW = """() => {
  app.graph.clear();
  const add = (type, x) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, 200];
    app.graph.add(node);
    return node;
  };
  window.load = add('LoadImage', 200);
  load.connect(0, add('SaveImage', 800), 0);
}"""
FIND = "app.graph._nodes.find(node => node.type == 'Ganvas_LatentPad')"


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    with visiting(tmp_path_factory.mktemp("editor"), NO_TEMPLATES) as found:
        yield found


def test_an_image_is_uploaded_masked_and_run(visit, tmp_path):
    page, editor = visit.page, visit.editor
    file = tmp_path / "my face.png"
    file.write_bytes(png((200, 120, 90), (96, 96)))
    visit.open()
    page.evaluate(LOAD_AND_SHOW)
    with page.expect_file_chooser() as chooser:
        page.evaluate("load.widgets.find(widget => widget.name == 'upload').callback()")
    chooser.value.set_files(file)
    page.wait_for_function("load.widgets[0].value == 'my face.png' && load.imgs?.length == 1")
    assert (editor.host.input_dir / "my face.png").read_bytes() == file.read_bytes()

    page.evaluate("app.canvas.selectNode(load)")
    page.evaluate("app.extensionManager.command.execute('Comfy.MaskEditor.OpenMaskEditor')")
    save = page.get_by_role("button", name="Save").first
    save.wait_for()
    canvas = page.locator("canvas.z-30").first
    canvas.wait_for()
    page.wait_for_timeout(500)  # the editor centres the image after it has appeared
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=4)
    page.mouse.up()
    visit.look("7_mask_editor")
    save.click()
    page.wait_for_function("load.widgets[0].value.includes('clipspace')")

    visit.run()
    assert visit.ended(1) == "completed"
    chosen = page.evaluate("load.widgets[0].value").removesuffix(" [input]")
    with Image.open(editor.host.input_dir / chosen) as painted:
        alpha = painted.getchannel("A")
    assert alpha.getextrema() == (0, 255)  # painted in places, not everywhere
    assert alpha.getpixel((2, 2)) == 255
    (written,) = editor.host.output_dir.glob("*.png")
    with Image.open(written) as image:
        assert image.size == (96, 96) and image.mode == "RGB"
    visit.look("8_masked_image_run")
    assert visit.failures == []


def show_help(visit):
    page = visit.page
    page.evaluate(
        "app.graph.clear(); const pad = LiteGraph.createNode('Ganvas_LatentPad');"
        "pad.pos = [500, 300]; void app.graph.add(pad)"
    )
    page.wait_for_selector(".ganvas-pad-plane")
    page.evaluate(f"app.canvas.selectNode({FIND}); app.canvas.setDirty(true, true)")
    page.get_by_test_id("info-button").first.click()


def choose_language(visit, language):
    if visit.page.evaluate("app.extensionManager.setting.get('Comfy.Locale')") == language:
        return
    visit.page.evaluate(f"app.extensionManager.setting.set('Comfy.Locale', '{language}')")
    saved = visit.editor.user_files / "comfy.settings.json"
    wait(lambda: saved.is_file() and json.loads(saved.read_text()).get("Comfy.Locale") == language)


def test_help_and_translations_come_in_the_users_language(visit):
    page = visit.page
    visit.open()
    show_help(visit)
    page.get_by_role("heading", name="Latent Pad").first.wait_for()
    page.get_by_text("Drag the handle on the square").wait_for()
    visit.look("9_help")

    choose_language(visit, "zh")
    visit.open()
    show_help(visit)
    page.get_by_text("在方块上拖动手柄").wait_for()
    assert page.evaluate(f"{FIND}.title") == "潜空间面板"
    assert page.locator(".ganvas-pad-text").first.text_content() == "拖动手柄"
    visit.look("10_chinese")
    assert visit.failures == []


def test_the_node_library_finds_blueprints_by_their_other_names(visit):
    page = visit.page
    visit.open()
    choose_language(visit, "en")  # whatever another test has left
    visit.open()
    search = page.get_by_placeholder("Search Nodes").first
    visit.press_until(page.get_by_test_id("node-library-tab-button"), search)
    search.fill("random faces")
    page.get_by_text("Sample faces").first.wait_for()
    visit.look("13_blueprints")
    assert visit.failures == []
