"""Files appear whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

from ganvas.core.files import atomic_path, atomic_write


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
    files = os.path.join(os.path.dirname(__file__), "..", "..", "core", "files.py")
    script = f"""
        import importlib.util, os, signal
        spec = importlib.util.spec_from_file_location("files", {os.path.abspath(files)!r})
        files = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(files)
        with files.atomic_path({str(target)!r}) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
