import gc
import os
import signal

# Most of what tests take is compiling, which so takes a fifth of the time. At these sizes the programs run as fast. It
# is said before JAX starts, and for the processes that tests start too. It changes the last digits of what is computed.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
# Nor does a compiled program say of each operation in which line of Python it stands, a tenth of compiling.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
# Two runs of tests share the cores, on which the threads of BLAS would wait for each other by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# One profile everywhere: no deadline (a slow machine must not fail a test), the same examples at every run.
settings.register_profile("nucleate", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("nucleate")

# Compiling makes many objects, and to look for cycles among them after every 700 takes a twentieth of the time.
gc.set_threshold(50_000, 20, 100)

# A shell that starts the tests in the background has interrupts ignored, which some tests wait for.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """The long files first: a worker that takes one up last keeps the others waiting."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


EVIL = "<script>alert('x')</script>"
GRID = {"gains": [1.0, 0.1, 0.01], "lrs": [0.1, 0.05], "seeds": 2, "hidden": [12, 9], "steps": 60, "evaluations": 10}


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A finished study of a table whose file and target have hostile names; at gain 0.01 it stays on its plateau."""
    # The process that hands out the tests reads this file first, and needs none of the package.
    import polars as pl

    from nucleate import sweep

    folder = tmp_path_factory.mktemp("report")
    x = pl.int_range(90, eager=True)
    table = pl.DataFrame({"a": x % 7, "<b>&": x % 5, EVIL: (x % 7) * (x % 5) + 0.5})
    table.write_csv(folder / "<i>&.csv")
    return sweep(folder / "<i>&.csv", target=(EVIL,), out=folder / "study", progress=False, **GRID)


@pytest.fixture(scope="session")
def reduction():
    """A reduction by hand, for a problem with a hostile name."""
    from nucleate import InitScale, Network, load_problem
    from nucleate.baselines import Baseline, Comparison
    from nucleate.problems import RMSE
    from nucleate.reduction import BeforeAfter, Certificate, Reduction, groups

    problem = load_problem("sine-5d")
    original, network = (Network.create(5, hidden, 1, scale=InitScale("gain", 1.0)) for hidden in ([12, 9], [3, 2]))
    return Reduction(
        problem=EVIL,
        data_hash=problem.data_hash,
        method="select",
        tolerance=0.01,
        metric=RMSE,
        original=original,
        network=network,
        preprocessing=problem.preprocessing,
        validation=BeforeAfter(2.0, 2.01),
        test=BeforeAfter(2.1, 2.2),
        certificate=Certificate(rows=99, largest_deviation=0.5, rms_deviation=0.125, relative_deviation=0.05),
        bound=None,
        groups=groups(original, problem.train.x),
        baselines=(
            Baseline("constant", (), 1, 4.0, 4.1, {"mae": 3.2}, Comparison(40, 2.1, 4.05, 1.5, 2.5)),
            Baseline("linear model", (), 6, 3.0, 3.1, {"mae": 2.4}, Comparison(40, 2.1, 3.05, 0.5, 1.5)),
            Baseline("narrow network", (3, 2), 23, 2.02, 2.3, {"mae": 1.7}, Comparison(40, 2.1, 2.15, -0.1, 0.2)),
        ),
        further=BeforeAfter({"mae": 1.5}, {"mae": 1.6}),
        run=0,
        inference=BeforeAfter(0.004, 0.001),
    )
