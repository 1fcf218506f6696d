"""The benchmark: cells x methods x shapes x dtypes x peers, each contender a process of its own, timed in turn."""
