"""``python -m fastloss``: what is installed and what it can do here."""

import sys

from fastloss import build_info

if __name__ == "__main__":
    try:
        info = build_info()
    except ValueError as error:  # FASTLOSS_ISA
        sys.exit(str(error))
    for key, value in info.items():
        print(f"{key:>22}: {', '.join(value) if isinstance(value, list) else value}")
