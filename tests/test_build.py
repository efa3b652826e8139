"""What the build makes: symbols, flags and instructions of the binary, and what it says when it cannot build."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastloss
from fastloss._core import operators as _ops

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = Path(_ops.extension().__file__) if _ops.AVAILABLE else None
LIBRARY = EXTENSION.with_name("libfastloss.so") if EXTENSION else None

needs_extension = pytest.mark.skipif(EXTENSION is None, reason="the extension is not built")


def run(*command, **options):
    options = {"check": True, "text": True, "capture_output": True, **options}
    return subprocess.run([str(part) for part in command], **options)


def tool(name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def isa_objects(part="kernels"):
    """The newest object file of each ISA, by name; only where the extension was built from this checkout."""
    files = sorted(ROOT.glob(f"build/*-*/simd_{part}_*.o"), key=lambda path: path.stat().st_mtime)
    return {path.stem.removeprefix(f"simd_{part}_"): path for path in files}


def isa_object(isa):
    objects = isa_objects()
    if isa not in objects:
        pytest.skip(f"no object file of {isa} under build/")
    return objects[isa]


def test_isa_objects_have_no_weak_symbols():
    """A weak symbol of an ISA file could be the one the linker keeps for the whole process."""
    tool("nm")
    objects = isa_objects()
    if not objects:
        pytest.skip("no object files under build/")
    for isa, path in [*objects.items(), *isa_objects("losses").items()]:
        weak = [line for line in run("nm", "-C", path).stdout.splitlines() if line[17:18] in "WwVvu"]
        assert not weak, f"{isa}: {weak}"


@needs_extension
def test_abi_audit():
    pytest.importorskip("torch_abi_audit")
    audit = "import sys; from torch_abi_audit.cli import main; sys.exit(main())"
    report = json.loads(run(sys.executable, "-c", audit, "--json", LIBRARY).stdout)
    torch_use = [extension["torch"] for extension in report["bundled_libs"]]
    assert torch_use
    for use in torch_use:
        assert use["uses_torch"]
        assert use["stable"], use["unstable_symbols"]
        assert not use["unknown_shim_symbols"]
        assert use["min_torch_version"] == "2.10.0"


def test_macros_of_the_oldest_torch():
    """TORCH_TARGET_VERSION hides newer functions, but not newer macros: these are of torch 2.13."""
    sources = [path for path in (ROOT / "csrc").rglob("*") if path.suffix in (".h", ".cpp", ".cu")]
    assert sources
    for path in sources:
        assert "STABLE_TORCH_ERROR_CODE_CHECK" not in path.read_text(), path


@needs_extension
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_imports_only_stable_symbols():
    undefined = run(tool("nm"), "-D", "--undefined-only", "-C", LIBRARY).stdout
    unstable = [line for line in undefined.splitlines() if re.search(r"\b(at|c10|torch|caffe2)::", line)]
    assert not unstable
    assert "aoti_torch_" in undefined, "the library was expected to use PyTorch's stable C functions"
    assert not re.search(r" _?Py\w+", undefined), "one library serves every Python"
    assert not re.search(r" (aoti_)?torch_\w+", run("nm", "-D", "--undefined-only", EXTENSION).stdout)
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", run(tool("readelf"), "-d", LIBRARY).stdout)
    assert any(name.startswith("libtorch_cpu") for name in needed)
    assert not any("torch_python" in name or "libpython" in name for name in needed)


@needs_extension
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_runs_on_older_systems():
    """What manylinux_2_28 has, whatever machine builds."""
    bounds = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11)}
    for file in (LIBRARY, EXTENSION):
        versions = re.findall(
            r"@(GLIBC|GLIBCXX|CXXABI)_([\d.]+)", run(tool("nm"), "-D", "--undefined-only", file).stdout
        )
        assert versions
        for name, version in versions:
            assert tuple(map(int, version.split("."))) <= bounds[name], f"{file.name}: {name}_{version}"


# -------------------------------------------------------------------------------------------------- setup.py


FOLDERS = ("csrc", "fastloss", "tests", "benchmarks", "docs", "examples", "wheels")  # of a source distribution


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A source distribution of this checkout, made where no list of an earlier one lies about."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("not a source checkout")
    root = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name in FOLDERS:
            (root / path.name).symlink_to(path)
        elif path.is_file():
            shutil.copy(path, root)
    run(sys.executable, "setup.py", "--quiet", "sdist", "--formats=tar", cwd=root)
    (made,) = root.glob("dist/*.tar")
    return made


@pytest.fixture
def source(archive, tmp_path):
    """An unpacked source distribution."""
    run("tar", "-xf", archive, "-C", tmp_path)
    return tmp_path / archive.stem


def test_source_distribution(source):
    kinds = (".so", ".o", ".pyc")
    held = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    wanted = {"LICENSE", "Makefile", "README.md", "CONTRIBUTING.md", "pyproject.toml", "setup.py"}
    for top in FOLDERS:
        files = [path for path in (ROOT / top).rglob("*") if path.is_file()]
        wanted |= {str(path.relative_to(ROOT)) for path in files if not path.name.endswith(kinds)}
    assert not wanted - held
    assert not [name for name in held if name.endswith(kinds)]


def refusal(source, environment, script="setup.py"):
    """The line that a build which must fail prints."""
    result = run(
        sys.executable, script, "--quiet", "build_ext", "--inplace",
        cwd=source, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert result.returncode != 0
    assert "Traceback" not in result.stderr, result.stderr
    assert not list(source.rglob("*.o"))
    lines = [line for line in result.stderr.splitlines() if line.startswith("fastloss:")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.rstrip().endswith(lines[0])
    return lines[0]


def test_setup_without_torch(source):
    (source / "without_torch.py").write_text(
        "import importlib.machinery, runpy\n"
        "find = importlib.machinery.PathFinder.find_spec\n"
        "importlib.machinery.PathFinder.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    message = refusal(source, {}, "without_torch.py")
    assert message.startswith("fastloss: building needs torch >= 2.10, none is installed; remedy: pip install")


@pytest.mark.parametrize("version", ["2.9.0", "1.13.1+cu117"])
def test_setup_with_old_torch(source, tmp_path, version):
    package = tmp_path / "old" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "version.py").write_text(f"__version__ = '{version}'\n")
    message = refusal(source, {"PYTHONPATH": str(package.parent)})
    assert message.startswith(f"fastloss: building needs torch >= 2.10, found {version}; remedy: pip install")


def test_setup_without_compiler(source):
    message = refusal(source, {"CXX": "no-such-compiler"})
    assert message.startswith("fastloss: building needs a C++17 compiler, 'no-such-compiler' was not found; ")


def test_flags_do_not_depend_on_the_machine():
    if not (ROOT / "setup.py").exists():
        pytest.skip("not a source checkout")
    tree = ast.parse((ROOT / "setup.py").read_text())
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
    ]
    flags = " ".join(strings).split()
    assert "-O3" in flags
    for flag in flags:
        assert not flag.startswith(("-march=", "-mcpu=", "-mtune=")), flag
        assert flag not in ("-ffast-math", "-Ofast", "-ffinite-math-only", "-funsafe-math-optimizations")


# ------------------------------------------------------------------------------------------------- instructions


def disassembly(isa):
    tool("objdump")
    return run("objdump", "-d", "--no-show-raw-insn", isa_object(isa)).stdout


def test_avx512_code():
    code = disassembly("avx512")
    assert "%zmm" in code
    assert re.search(r"vscalefps\s.*%zmm", code), "2^n by scalef, in exp"
    assert re.search(r"vfmadd\w+ps\s.*%zmm", code)
    assert re.search(r"vcvtph2ps\s.*%zmm", code)


def test_avx2_code():
    code = disassembly("avx2")
    assert "%zmm" not in code
    assert re.search(r"vfmadd\w+ps\s.*%ymm", code)
    assert re.search(r"vfmadd\w+pd\s.*%ymm", code)
    assert re.search(r"vcvtph2ps\s.*%ymm", code)


def test_baseline_code():
    code = disassembly("baseline")
    assert not re.search(r"%[yz]mm|\svfmadd|\svcvtph2ps", code)
    assert re.search(r"\smulps\s.*%xmm", code)


# -------------------------------------------------------------------------------------------------- build_info


def test_build_info():
    info = fastloss.build_info()
    assert {"fastloss", "python", "torch (running)", "extension", "CUDA"} <= set(info)
    assert info["fastloss"] == fastloss.__version__
    assert info["CUDA"].startswith(("yes", "no: "))
    if _ops.AVAILABLE:
        assert info["extension"] == "loaded"
        assert info["torch ABI target"] == "2.10"
        assert info["ISAs available here"] == fastloss.isa.available()
        assert info["ISAs compiled"] == fastloss.isa.compiled()
        assert info["ISA active"] in info["ISAs available here"]
        assert {"torch (built against)", "compiler", "threads"} <= set(info)
    else:
        assert info["extension"].startswith("absent: ")


def test_command_line():
    output = run(sys.executable, "-W", "ignore::RuntimeWarning", "-m", "fastloss", cwd=ROOT).stdout
    lines = dict(line.strip().split(": ", 1) for line in output.splitlines())
    assert list(lines) == list(fastloss.build_info())
    assert lines["fastloss"] == fastloss.__version__
    if _ops.AVAILABLE:
        assert lines["ISAs compiled"] == ", ".join(fastloss.isa.compiled())
