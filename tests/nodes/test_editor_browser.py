"""The editor in a real browser, from the first screen to the PNG that is dropped back."""

from __future__ import annotations

import base64

import pytest

pytest.importorskip("aiohttp", reason="the editor needs ganvas[editor]")

from .editor_browser import NODES, visiting, wait

pytestmark = pytest.mark.slow
DROP = """async data => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  await app.handleFile(new File([bytes], 'saved.png', {type: 'image/png'}));
}"""
IMAGE = "app.graph._nodes.find(n => n.type == 'SaveImage').imgs?.length == 1"
SEED = "app.graph._nodes.find(n => n.type == 'Ganvas_SampleLatents').widgets[0].value"


@pytest.fixture
def visit(tmp_path):
    with visiting(tmp_path) as found:
        yield found


def test_the_quickstart_from_the_first_screen_to_the_dropped_png(visit):
    page, editor = visit.page, visit.editor
    visit.open()
    card = page.get_by_text("Quickstart").first
    card.wait_for()
    page.wait_for_function("[...document.images].some(image => image.naturalWidth > 200)")
    visit.look("1_templates")
    card.click()
    page.wait_for_function(f"{NODES} == 12")
    visit.look("2_quickstart")

    visit.set("Ganvas_SampleLatents", "seed", 3)
    visit.run()
    assert visit.ended(1) == "completed"
    (saved,) = editor.host.output_dir.glob("quickstart_*.png")
    page.wait_for_function(IMAGE)
    visit.look("3_done")

    visit.set("Ganvas_SampleLatents", "count", 2000)
    visit.run()
    wait(lambda: editor.queue.running and editor.queue.running.nodes)
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(f"{NODES} == 12")
    page.wait_for_function("/^\\[0%\\]/.test(document.title)")  # not 100 % of what it knows of
    visit.look("4_reloaded_while_running")
    assert editor.queue.running is not None
    page.get_by_role("button", name="Cancel current run").click()
    assert visit.ended(2) == "cancelled"

    visit.set("Ganvas_SampleLatents", "count", 1)
    visit.set("Ganvas_ApplyDirection", "strengths", "one")
    visit.run()
    assert visit.ended(3) == "failed"
    page.get_by_text("failed").first.wait_for()
    visit.look("5_failed_node")

    page.keyboard.press("Control+s")
    page.get_by_role("dialog").locator("input").first.fill("mine")
    page.keyboard.press("Enter")
    wait(lambda: (editor.user_files / "workflows" / "mine.json").exists())
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(f"{NODES} == 12")
    assert page.evaluate(SEED) == 3

    page.evaluate("app.graph.clear()")
    page.evaluate(DROP, base64.b64encode(saved.read_bytes()).decode())
    page.wait_for_function(f"{NODES} == 12")
    assert page.evaluate(SEED) == 3
    visit.look("6_dropped_png")
    assert visit.failures == []


def test_a_job_outlives_its_browser(visit):
    page, editor = visit.page, visit.editor
    visit.open_template("quickstart", 12)
    visit.set("Ganvas_SampleLatents", "count", 16)
    visit.run()
    wait(lambda: editor.queue.running and editor.queue.running.nodes)
    page.close()
    assert visit.ended(1) == "completed"
    (saved,) = editor.host.output_dir.glob("quickstart_*.png")
    assert saved.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert visit.failures == []
