"""Hostile pickles and archives: refused in one sentence, nothing run, nothing allocated."""

import builtins
import io
import os
import pickle
import pickletools
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from ganvas.core.checkpoints import inspect, load
from ganvas.core.checkpoints.containers import read_container
from ganvas.core.checkpoints.containers.machine import Budget, Inert, Machine
from ganvas.core.checkpoints.containers.names import allow_list
from ganvas.core.checkpoints.containers.source import Source, Stream
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Generator

from .checkpoint_files import MODULE_SOURCE, legacy_bytes, stylegan_pickle

MARKER = "ganvas-executed-a-pickle"


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path, monkeypatch):
    """Every test of this file also checks that no code of a file has left its mark."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path(MARKER).exists() and not Path("ganvas-executed-module-src").exists()


def small_generator() -> Generator:
    torch.manual_seed(0)
    return Generator(
        z_dim=4, w_dim=4, img_resolution=4, channel_base=16, channel_max=4, num_mapping_layers=1
    )


def refusal(data: bytes, name: str = "m.pkl") -> str:
    path = Path(name)
    path.write_bytes(data)
    messages = set()
    for operation in (load, inspect):
        with pytest.raises(InputError) as caught:
            operation(path)
        messages.add(str(caught.value))
    message = messages.pop()
    assert message.startswith(name) and "\n" not in message and len(message) < 500
    return message


def call(module: str, name: str, *arguments: str) -> bytes:
    """A pickle that calls module.name with texts."""
    texts = b"".join(b"X" + struct.pack("<I", len(a)) + a.encode() for a in arguments)
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + texts + b"tR."


FORBIDDEN = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "compile"),
    ("builtins", "open"),
    ("builtins", "type"),
    ("builtins", "globals"),
    ("builtins", "setattr"),
    ("__builtin__", "eval"),
    ("builtins", "object.__subclasses__"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
    ("importlib", "import_module"),
    ("runpy", "run_path"),
    ("pickle", "loads"),
    ("torch", "load"),
    ("torch", "hub.load"),
    ("torch.storage", "torch.load"),
    ("torch.utils.cpp_extension", "load_inline"),
    ("torch.jit", "load"),
    ("torch._dynamo", "optimize"),
    ("torch.serialization", "load"),
    ("numpy", "load"),
    ("numpy.f2py", "compile"),
    ("numpy.testing._private.utils", "runstring"),
    ("collections", "OrderedDict.__class__"),
    ("collections", "abc.sys.modules"),
    ("torch_utils.persistence", "_src_to_module"),
    ("torch_utils", "persistence"),
    ("dnnlib.util", "call_func_by_name"),
    ("dnnlib.util", "open_url"),
    ("dnnlib.util", "EasyDict.__init__"),
    ("pathlib", "Path.touch"),
    ("sys", "exit"),
    ("code", "interact"),
    ("webbrowser", "open"),
    ("", ""),
    ("os\u2028", "system"),
]


@pytest.mark.parametrize(("module", "name"), FORBIDDEN, ids=lambda text: ascii(text))
def test_any_other_name_is_refused_and_named(module, name):
    texts = [module.encode(), name.encode()]
    stacked = b"".join(b"\x8c" + bytes([len(text)]) + text for text in texts)
    bodies = [b"\x80\x04" + stacked + b"\x93(\x8c\x04echotR."]
    if "\n" not in module + name:
        bodies.append(call(module, name, f"touch {MARKER}"))
    for body in bodies:
        message = refusal(body)
        assert "which no model file may use" in message
        assert ascii(f"{module}.{name}")[1:-1] in message
    torch.save({"x": torch.zeros(2)}, "good.pt")
    packed = replace_member(Path("good.pt").read_bytes(), "data.pkl", bodies[0])
    assert "which no model file may use" in refusal(packed, "m.pt")
    stream = legacy_bytes({})
    start = stream.index(b"little_endian")
    end = stream.index(b".", start) + 1
    assert "which no model file may use" in refusal(stream[:end] + bodies[0], "old.pt")


def replace_member(archive: bytes, ending: str, data: bytes) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(result, "w") as new:
        for info in old.infolist():
            body = data if info.filename.endswith(ending) else old.read(info)
            new.writestr(zipfile.ZipInfo(info.filename), body)
    return result.getvalue()


class Reduced:
    """Pickles as any call."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def test_chains_of_calls_do_not_reach_python():
    chain = Reduced(getattr, (Reduced(__import__, ("os",)), "system"))
    for value in (
        Reduced(chain, (f"touch {MARKER}",)),
        {"G_ema": Reduced(eval, (f"open({MARKER!r}, 'w')",))},
        [Reduced(map, (eval, [f"open({MARKER!r}, 'w')"]))],
    ):
        for protocol in (2, 3, 4, 5):
            try:
                data = pickle.dumps(value, protocol=protocol)
            except pickle.PicklingError:  # a call of something that is no function
                continue
            assert "which no model file may use" in refusal(data)


def run(body: bytes) -> object:
    """A pickle run by the machine alone."""
    source = Source(data=body)
    budget = Budget()
    lookup = allow_list(budget, lambda blob: blob)
    return Machine(Stream(source, 0, source.size), lookup, budget).run()


def test_states_and_attributes_stay_plain_data():
    """BUILD with __class__, __dict__, __setstate__ or __reduce__ gives entries, not behaviour."""
    body = (
        b"\x80\x02ctraining.x\nY\n)\x81}"
        b"(X\x09\x00\x00\x00__class__K\x01"
        b"X\x0c\x00\x00\x00__setstate__K\x02"
        b"X\x08\x00\x00\x00__dict__}X\x04\x00\x00\x00nameK\x03su"
        b"X\x04\x00\x00\x00nameK\x04sb."
    )
    body = body.replace(b"X\x04\x00\x00\x00nameK\x03su", b"u")
    value = run(body)
    assert type(value) is Inert and value.name == "training.x.Y"
    assert value.state["__class__"] == 1 and value.state["__setstate__"] == 2
    assert value.state["name"] == 4 and value.__class__ is Inert


def test_build_on_other_objects_changes_nothing():
    assert run(b"\x80\x02}}X\x01\x00\x00\x00aK\x01sb.") == {}
    assert run(b"\x80\x02]}X\x01\x00\x00\x00aK\x01sb.") == []
    before = run(b"\x80\x02ccollections\nOrderedDict\n.").apply
    run(b"\x80\x02ccollections\nOrderedDict\n}X\x05\x00\x00\x00applyK\x01sb.")
    assert run(b"\x80\x02ccollections\nOrderedDict\n)R.") == {} and callable(before)


MALFORMED = {
    "no end": b"\x80\x02}",
    "nothing made": b"\x80\x02.",
    "empty stack": b"\x80\x02R.",
    "mark missing": b"\x80\x02t.",
    "unknown memo": b"\x80\x02h\x05.",
    "memo of nothing": b"\x80\x02q\x00.",
    "call of a number": b"\x80\x02K\x01)R.",
    "arguments that are none": b"\x80\x02ccollections\nOrderedDict\nK\x01R.",
    "items of a number": b"\x80\x02K\x01(K\x01K\x02u.",
    "odd items": b"\x80\x02}(K\x01u.",
    "list as key": b"\x80\x02}]K\x01s.",
    "tuple of lists as key": b"\x80\x02}]\x85K\x01s.",
    "set of dicts": b"\x80\x04\x8f(}\x90.",
    "append to a number": b"\x80\x02K\x01K\x02a.",
    "persistent id": b"\x80\x02K\x01Q.",
    "text persistent id": b"\x80\x02P0\n.",
    "old text opcodes": b"\x80\x02I1\n.",
    "instance": b"\x80\x02(ios\nsystem\n.",
    "object opcode": b"\x80\x02(cos\nsystem\no.",
    "extension registry": b"\x80\x02\x82\x01.",
    "keyword call": b"\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "byte array": b"\x80\x05\x96" + struct.pack("<Q", 4) + b"abcd.",
    "newer protocol": b"\x80\x05\x80\xff.",
    "not UTF-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
    "names by numbers": b"\x80\x04K\x01K\x02\x93.",
    "long name": b"\x80\x02c" + b"a" * 5000 + b"\nb\n.",
    "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "four GiB of bytes": b"\x80\x03B\xff\xff\xff\xffx.",
    "huge number": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    "negative number length": b"\x80\x02\x8b\xff\xff\xff\xffx.",
    "long number": b"\x80\x02\x8b" + struct.pack("<i", 2000) + b"\x01" * 2000 + b".",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"}.",
    "array of nothing": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.",
    "storage without bytes": b"\x80\x02ctorch.storage\n_load_from_bytes\nK\x01\x85R.",
    "storage that is called": b"\x80\x02ctorch\nFloatStorage\nK\x01\x85R.",
    "tensor of nothing": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))tR.",
    "parameter of a number": b"\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01\x85R.",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_pickles_are_refused(body):
    refusal(body)


def peak_of(operation) -> int:
    tracemalloc.start()
    operation()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


BOMBS = {
    "nested lists": b"\x80\x02" + b"]" * 3_000_000 + b"a" * 2_999_999 + b".",
    "nested tuples": b"\x80\x02)" + b"\x85" * 3_000_000 + b".",
    "nested tuples as a key": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.",
    "marks": b"\x80\x02" + b"(" * 3_000_000 + b".",
    "dictionaries": b"\x80\x02" + b"}" * 3_000_000 + b".",
    "sets": b"\x80\x04" + b"\x8f" * 3_000_000 + b".",
    "doubled tuples": b"\x80\x02)" + b"2\x86" * 500_000 + b".",
    "a list that holds itself": b"\x80\x02]q\x00" + b"h\x00a" * 10 + b".",
    "a dict that holds itself": b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.",
    "copies of a long text": b"\x80\x02X\x40\x42\x0f\x00" + b"a" * 1_000_000 + b"q\x000"
    + b"c_codecs\nencode\nh\x00\x85R" * 5000 + b".",
    "copies of a long list": b"\x80\x02](" + b"K\x01" * 100_000 + b"eq\x000"
    + b"c__builtin__\nset\nh\x00\x85R" * 5000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_in_bounded_time(body):
    start = time.process_time()
    refusal(body)
    assert time.process_time() - start < 30


def stored_zip(**members: bytes) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo("archive/" + name.replace("__", "/")), data)
    return result.getvalue()


def tensor_pickle(
    count: int = 4,
    shape: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    offset: int = 0,
    storage: str = "FloatStorage",
    tensors: int = 1,
) -> bytes:
    """A torch.save pickle of {"0": tensor, ...}, all cut from the storage "0"."""

    def number(value: int) -> bytes:
        data = value.to_bytes(16, "little", signed=True)
        return b"\x8a\x10" + data

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(number(value) for value in values) + b"t"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    pid = b"(" + text("storage") + f"ctorch\n{storage}\n".encode()
    pid += text("0") + text("cpu") + number(count) + b"tQ"
    body = b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + number(offset)
    body += numbers(shape) + numbers(stride) + b"\x89}tR"
    items = b"".join(text(str(index)) + body for index in range(tensors))
    return b"\x80\x02}(" + items + b"u."


def test_a_well_formed_archive_is_read():
    Path("t.pt").write_bytes(
        stored_zip(**{"data.pkl": tensor_pickle(), "data__0": struct.pack("<4f", 1, 2, 3, 4)})
    )
    with read_container(Path("t.pt")) as container:
        (tensor,) = container.networks["network"].tensors.values()
        assert tensor.read().tolist() == [1, 2, 3, 4]


TENSORS = {
    "larger than its storage": dict(shape=(5,)),
    "after its storage": dict(offset=1),
    "strides out of its storage": dict(shape=(2,), stride=(4,)),
    "negative offset": dict(offset=-1),
    "negative size": dict(shape=(-4,)),
    "negative stride": dict(stride=(-1,)),
    "petabytes": dict(shape=(2**50,), stride=(0,)),
    "overflowing": dict(shape=(2**62, 4), stride=(0, 0)),
    "many dimensions": dict(shape=(1,) * 40, stride=(1,) * 40),
    "strides that are missing": dict(stride=()),
    "storage longer than the member": dict(count=5),
    "storage shorter than the member": dict(count=3, shape=(3,)),
    "petabytes of storage": dict(count=2**50),
    "negative storage": dict(count=-4),
    "unknown storage": dict(storage="QInt8Storage"),
    "storage of another dtype": dict(storage="DoubleStorage"),
    "one storage a thousand times": dict(tensors=1000),
}


@pytest.mark.parametrize("changes", TENSORS.values(), ids=TENSORS)
def test_tensors_that_are_not_in_the_file_are_refused(changes):
    body = stored_zip(**{"data.pkl": tensor_pickle(**changes), "data__0": bytes(16)})
    if changes.get("tensors"):
        data = bytes(2**20)
        pickled = tensor_pickle(2**18, (2**18,), tensors=1000)
        body = stored_zip(**{"data.pkl": pickled, "data__0": data})
    assert peak_of(lambda: refusal(body, "t.pt")) < 64 * 2**20


def test_hostile_archives_are_refused():
    data = bytes(16)
    good = stored_zip(**{"data.pkl": tensor_pickle(), "data__0": data})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_pickle())
        archive.writestr("archive/data/0", bytes(50_000_000))
    twice = good.replace(b"archive/data/0", b"archive/data.p")
    end = good.rindex(b"PK\x05\x06")
    first = good.index(b"PK\x01\x02")
    cases = {
        "packed or encrypted": packed.getvalue(),
        "was not written by torch.save": stored_zip(x=b"1"),
        "lacks the storage": stored_zip(**{"data.pkl": tensor_pickle()}),
        "TorchScript": stored_zip(**{"data.pkl": b"", "constants.pkl": b"", "data__0": data}),
        "big-endian": stored_zip(**{"data.pkl": tensor_pickle(), "byteorder": b"big"}),
        "damaged": good[:-10],
        "damaged or": good[: end + 12] + struct.pack("<LL", 2**31, 5) + good[end + 20 :],
        "directory of": None,
        "was not downloaded": good[: first + 42] + struct.pack("<L", 2**31) + good[first + 46 :],
    }
    for message, body in cases.items():
        if body is not None:
            text = refusal(body, "t.pt")
            assert message in text, text
    for body in (twice, good[:30], good[:first], good[:first] + good[end:], b"PK\x03\x04"):
        refusal(body, "t.pt")


def test_nested_storages_and_views_are_refused():
    inner = legacy_bytes(torch.zeros(3).untyped_storage())
    for depth in range(3):
        body = b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner))
        inner = body + inner + b"\x85R."
        if depth:
            inner = legacy_bytes({})[: legacy_bytes({}).rindex(b"\x80\x02}")] + inner
    refusal(b"\x80\x03" + inner[2:])
    stream = legacy_bytes({"x": torch.zeros(4)})
    for change in (
        (b"FloatStorage", b"LongStorage"),  # twice the bytes that follow
        (struct.pack("<Q", 4), struct.pack("<Q", 2**40)),
        (b"little_endianq\x02\x88", b"little_endianq\x02\x89"),
    ):
        changed = stream.replace(*change)
        assert changed != stream
        Path("old.pt").write_bytes(changed)
        with pytest.raises(InputError):
            load("old.pt")


def test_the_source_text_in_a_pickle_is_never_run():
    path = stylegan_pickle(Path("g.pkl"), None, None, small_generator())
    assert MODULE_SOURCE.encode() in path.read_bytes()
    load(path)
    inspect(path)
    assert not any(name.startswith(("torch_utils", "dnnlib")) for name in sys.modules)


def test_reading_never_uses_pickle_eval_or_import(monkeypatch):
    stylegan_pickle(Path("g.pkl"), None, None, small_generator())
    torch.save(small_generator().state_dict(), "g.pt")
    Path("old.pt").write_bytes(legacy_bytes(small_generator().state_dict()))
    load("g.pt")  # everything that is imported lazily is there now

    def forbidden(*args, **kwargs):
        raise AssertionError("a model file reached Python")

    for owner, name in (
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
        (torch, "load"),
        (builtins, "eval"),
        (builtins, "exec"),
        (os, "system"),
    ):
        monkeypatch.setattr(owner, name, forbidden)
    for name in ("g.pkl", "g.pt", "old.pt"):
        assert load(name).generator is not None


def test_weights_that_are_not_finite_are_refused_in_every_container():
    network = small_generator()
    network.synthesis.b4.const.data[0, 0, 0] = float("nan")
    stylegan_pickle(Path("g.pkl"), None, None, network)
    torch.save(network.state_dict(), "g.pt")
    Path("old.pt").write_bytes(legacy_bytes(network.state_dict()))
    for name in ("g.pkl", "g.pt", "old.pt"):
        with pytest.raises(InputError, match=r"synthesis\.b4\.const holds NaN or infinite"):
            load(name)
        assert not inspect(name).finite


LIMITED = """
import resource, sys, torch
from ganvas.core.checkpoints import load
from ganvas.core.errors import InputError
torch.zeros(1)
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), used + (1 << 29)))
for path in sys.argv[1:]:
    try:
        load(path)
    except InputError as error:
        print(str(error)[:100])
    else:
        sys.exit("loaded")
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="no limit of the address space")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_bombs_stay_within_half_a_gibibyte_of_address_space():
    names = []
    for index, body in enumerate(BOMBS.values()):
        Path(f"{index}.pkl").write_bytes(body)
        names.append(f"{index}.pkl")
    root = Path(__file__).resolve().parents[2]
    prepare = f"import sys; sys.path.insert(0, {str(root / 'tests')!r}); import conftest\n"
    process = subprocess.run(
        [sys.executable, "-c", prepare + LIMITED, *names], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("\n") == len(names)


def test_the_machine_reads_what_pickle_writes():
    """Every opcode that Python's own pickler emits for plain values is understood."""
    plain = {
        "numbers": [0, 1, 255, 256, 65536, -1, 2**31, -(2**40), 2**300, 1.5, float("inf")],
        "texts": ["", "a", "\u00fc\u4e2d\U0001f600", "x" * 300, "y" * 70000],
        "others": (None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {1, 2}),
        "nested": {"a": {"b": [[], {}]}, 3: "c", (1, "d"): None},
        "frozen": frozenset({5}),
    }
    plain["again"] = plain["nested"]
    for protocol in (2, 3, 4, 5):
        body = pickle.dumps(plain, protocol=protocol)
        found = run(body)
        assert found == {**plain, "frozen": {5}}, protocol
        assert found["again"] is found["nested"]
        assert run(pickletools.optimize(body)) == found
