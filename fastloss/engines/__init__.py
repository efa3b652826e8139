"""How losses are computed: what the Python side of an engine needs, a file for each."""
