import sys

from fastloss.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
