"""Builds ``fastloss_cuda/_C_cuda.so`` by the rules of the setup.py two folders up, for every GPU (FASTLOSS_CUDA_ARCHS).

The library has no Python symbols and its own CUDA runtime, so the package serves every Python.
"""

import os
import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parents[2]
os.environ["FASTLOSS_CUDA"] = "1"
FASTLOSS = runpy.run_path(str(ROOT / "setup.py"))
VERSION = runpy.run_path(str(ROOT / "fastloss" / "_version.py"))["__version__"]


class BuildCuda(FASTLOSS["BuildExt"]):
    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', '/')}.so"


class Wheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    version=VERSION,
    install_requires=[f"fastloss=={VERSION}"],
    ext_modules=[Extension("fastloss_cuda._C_cuda", sources=[])],
    cmdclass={"build_ext": BuildCuda, "bdist_wheel": Wheel},
)
