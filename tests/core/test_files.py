"""Files appear whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

from ganvas.core.errors import InputError, printable
from ganvas.core.files import (
    atomic_path,
    atomic_write,
    check_input_file,
    check_output_folder,
    kind_of,
)


def test_text_and_bytes_are_written_exactly(tmp_path):
    atomic_write(tmp_path / "new" / "folder" / "a.txt", "line\r\n\u00e9\n")
    atomic_write(tmp_path / "b.bin", b"\x00\r\n")
    assert (tmp_path / "new" / "folder" / "a.txt").read_bytes() == "line\r\n\u00e9\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\r\n"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_temporary_file_is_beside_the_target_with_its_suffix(tmp_path):
    with atomic_path(tmp_path / "picture.png") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".png"
        assert not (tmp_path / "picture.png").exists()
        temporary.write_bytes(b"x")
    assert (tmp_path / "picture.png").read_bytes() == b"x"


def test_writing_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_permissions_follow_the_umask_or_the_replaced_file(tmp_path):
    target = tmp_path / "a.txt"
    previous = os.umask(0o027)
    try:
        atomic_write(target, "x")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    target.chmod(0o600)
    atomic_write(target, "y")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_killed_process_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    conftest = os.path.join(os.path.dirname(__file__), "..", "conftest.py")
    script = f"""
        import os, runpy, signal
        runpy.run_path({os.path.abspath(conftest)!r})
        from ganvas.core import files
        with files.atomic_path({str(target)!r}) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_what_lies_at_a_path_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert kind_of(tmp_path) == "a folder"
    assert kind_of(tmp_path / "file") == "a file"
    assert kind_of(tmp_path / "no") == kind_of(tmp_path / "file" / "no") == "nothing there"
    assert kind_of("a\0b") == "a name with a null character"
    assert kind_of("x" * 5000) == "file name too long"


@pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
def test_a_pipe_is_refused_before_anything_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(InputError, match="expected a model, got a device, pipe or socket"):
            check_input_file(path, "a model")


def test_a_target_that_cannot_be_written_is_refused_before_the_block_runs(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for path, reason in [(tmp_path, "got a folder"), (tmp_path / "file" / "a" / "b", "is a file")]:
        with pytest.raises(InputError, match=reason), atomic_path(path):
            pytest.fail("the work was begun")
    with pytest.raises(InputError, match="expected a folder to write to, got a file"):
        check_output_folder(tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="not writable"), atomic_path(tmp_path / "a" / "b"):
        pytest.fail("the work was begun")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_texts_for_a_terminal_keep_letters_and_lose_control_characters():
    assert printable("Größe 画像\u3000\u00a0👨\u200d👩") == "Größe 画像\u3000\u00a0👨\u200d👩"
    raw = "a\n\x1b[2J\x9b\u2028\u202e\udcff"
    assert printable(raw) == "a\\n\\x1b[2J\\x9b\\u2028\\u202e\\udcff"
