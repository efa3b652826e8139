"""What compares fastloss with others, from a checkout: `benchmarks.harness` and `benchmarks.demo`."""
