"""Speed and memory beside other methods and libraries: what `make bench` runs."""
