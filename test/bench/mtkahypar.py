"""The baseline of the map benchmark: partitions one hypergraph with Mt-KaHyPar and says what it cost.

usage: python3 mtkahypar.py GRAPH BLOCKS IMBALANCE THREADS SEED

GRAPH is little-endian uint32: jobs, inputs, pins, jobs + 1 offsets, the pins, the weight of each input.
Prints one JSON object: km1 (in the unit of the weights, without the first copy of each input), seconds (the partitioner
alone, not the reading), imbalance, version. Needs `pip install mtkahypar`; exits 3 when it is absent.
"""

import array
import importlib.metadata
import json
import sys
import time


def main() -> None:
    sys.path.pop(0)  # this file has the name of the package that it looks for
    try:
        import mtkahypar
    except ImportError:
        print("mtkahypar is not installed: pip install mtkahypar", file=sys.stderr)
        sys.exit(3)
    path, blocks, imbalance, threads, seed = sys.argv[1:6]
    words = array.array("I")
    with open(path, "rb") as file:
        words.frombytes(file.read())
    jobs, inputs, pin_count = words[0], words[1], words[2]
    offsets = words[3 : 4 + jobs]
    pins = words[4 + jobs : 4 + jobs + pin_count]
    weights = list(words[4 + jobs + pin_count :])
    edges = [[] for _ in range(inputs)]
    for job in range(jobs):
        for at in range(offsets[job], offsets[job + 1]):
            edges[pins[at]].append(job)
    kept = [i for i in range(inputs) if len(edges[i]) > 1]

    initializer = mtkahypar.initialize(int(threads), False)
    mtkahypar.set_seed(int(seed))
    context = initializer.context_from_preset(mtkahypar.PresetType.DEFAULT)
    context.logging = False
    context.set_partitioning_parameters(int(blocks), float(imbalance), mtkahypar.Objective.KM1)
    graph = initializer.create_hypergraph(
        context, jobs, len(kept), [edges[i] for i in kept], [1] * jobs, [weights[i] for i in kept]
    )
    started = time.perf_counter()
    partitioned = graph.partition(context)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "km1": partitioned.km1(),
                "seconds": seconds,
                "imbalance": partitioned.imbalance(context),
                "blocks": partitioned.num_blocks(),
                "version": importlib.metadata.version("mtkahypar"),
            }
        )
    )


main()
