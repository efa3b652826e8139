import sys

try:
    from .cli import main

    sys.exit(main())
except ModuleNotFoundError as error:
    if error.name not in ("rich", "matplotlib"):
        raise
    sys.exit(f"benchmarks.harness needs {error.name}; remedy: pip install {error.name}")
