"""``python -m fastloss``: what is installed and what it can do here."""

from fastloss import build_info

if __name__ == "__main__":
    for key, value in build_info().items():
        print(f"{key:>22}: {', '.join(value) if isinstance(value, list) else value}")
