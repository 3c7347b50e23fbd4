"""Compiles a module's Triton kernels for a GPU that need not exist; started by test_aot.py.

A process of its own, because one that has chosen Triton's interpreter cannot compile.
Usage: aot_child.py ROOT MODULE CAPABILITY. Prints one JSON object a configuration.
"""

import importlib
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def bind(root: Path) -> None:
    """Make `import ganvas` find this checkout, whatever its folder's name."""
    spec = importlib.util.spec_from_file_location(
        "ganvas", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None and spec.loader is not None
    sys.modules["ganvas"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["ganvas"])


def compiled(case, capability: int) -> dict[str, object]:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel, signature, constants, num_warps, num_stages, label = case
    while not hasattr(kernel, "arg_names"):
        kernel = kernel.fn  # below autotune and heuristics
    names = kernel.arg_names
    # What the launcher finds out at run time: allocations are aligned, and so are the integers
    # that a case marks as multiples of 16.
    aligned = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(names)
        if signature[name].startswith("*") or signature[name].endswith(":16")
    }
    source = ASTSource(
        kernel,
        {name: kind.removesuffix(":16") for name, kind in signature.items()},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs=aligned,
    )
    try:
        result = triton.compile(
            source,
            target=GPUTarget("cuda", capability, 32),
            options={"num_warps": num_warps, "num_stages": num_stages},
        )
    except Exception as error:  # whatever the compiler raises is the test's finding
        return {"label": label, "error": f"{type(error).__name__}: {error}"[-2000:]}
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [str(tool), "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    return {
        "label": label,
        "shared": result.metadata.shared,
        # Spilled registers live on the stack, and nothing else here does.
        "stack": max(map(int, re.findall(r"STACK:(\d+)", usage))),
        "registers": max(map(int, re.findall(r"REG:(\d+)", usage))),
    }


if __name__ == "__main__":
    bind(Path(sys.argv[1]))
    for case in importlib.import_module(sys.argv[2]).aot_cases():
        print(json.dumps(compiled(case, int(sys.argv[3]))), flush=True)
