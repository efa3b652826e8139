"""``python -m fastloss``: what is installed and what it can do here; ``python -m fastloss selftest``: all kernels."""

import argparse
import sys

import fastloss

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m fastloss", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("info", "selftest"), default="info")
    parser.add_argument("--device", help="of selftest: cpu, cuda or cuda:1; default: the CPU, and CUDA if there is any")
    arguments = parser.parse_args()
    try:
        if arguments.command == "selftest":
            table = fastloss.selftest(arguments.device)
            print(table)
            sys.exit(bool(table.failures))
        info = fastloss.build_info()
    except (ValueError, RuntimeError) as error:  # FASTLOSS_ISA; kernels that are not there
        sys.exit(str(error))
    for key, value in info.items():
        print(f"{key:>22}: {', '.join(value) if isinstance(value, list) else value}")
