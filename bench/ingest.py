"""An export file → Parquet, and → turns: rows a second and peak memory beside pandas, each in a fresh process.

python -m bench.ingest [--rows 100000 1000000] [--rounds 3]

Every way reads the same synthetic turns (`bench.turns`) and writes them as Parquet packed with zstd. pandas with its
defaults loses text ('NA', 'null' and '' become NaN); it is measured beside the setting that keeps it. The stage's rows
are those of the whole `ingest` stage, and of its cleaning and scrubbing alone, which pandas has no counterpart for.
"""

import argparse
import datetime
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.machine import describe
from bench.turns import write_all
from twin.files import write_json

DEMO = Path("data/raw/demo/memory_turns.csv.gz")  # short replies, as the ones a twin is made for
RESULTS = Path("bench/results/ingest.json")
TARGET = {"rows_per_s": 100_000, "peak_mib": 300}
ROUNDS = 3
CHUNK = 50_000  # rows of pandas' readers


def twin_ours(source: Path, out: Path) -> int:
    from twin.export.batches import batches
    from twin.export.parquet import write_batches

    return write_batches(out, batches(source))


def stage(source: Path, out: Path) -> int:
    from stages.ingest import ingest, write_turns
    from stages.ingest.tally import Tally
    from twin.export.batches import batches

    tally = Tally()
    write_turns(out, ingest(batches(source), config(), tally, str))
    return tally.rows


def clean_and_scrub(source: Path, out: Path) -> tuple[int, float]:
    """Return the turns, and the seconds that cleaning and scrubbing took of them."""
    from stages.ingest.order import Spill, final_order, in_order
    from stages.ingest.sift import Sieve
    from stages.ingest.tally import Tally
    from stages.ingest.turns import turns, with_suspects
    from twin.export.batches import batches

    tally, spill, settings = Tally(), Spill(), config()
    sieve = Sieve(settings, tally, str, spill)
    for batch in batches(source):
        sieve.add(batch)
    seconds, count = 0.0, 0

    def prepare(table: Any) -> Any:
        nonlocal seconds
        started_s = time.perf_counter()
        prepared = with_suspects(table, phones=False)
        seconds += time.perf_counter() - started_s
        return prepared

    pieces = in_order(spill, *final_order(sieve.keys, sieve.kept()), prepare)
    for piece in pieces:
        started_s = time.perf_counter()
        count += sum(1 for _ in turns([piece], settings, tally))
        seconds += time.perf_counter() - started_s
    return count, seconds


def config() -> Any:
    from twin.config.ingest import IngestConfig
    from twin.config.load import load

    return load(IngestConfig)


def pandas_csv(source: Path, out: Path) -> int:
    import pandas as pd

    table = pd.read_csv(source)
    table.to_parquet(out, compression="zstd")
    return len(table)


def pandas_csv_text(source: Path, out: Path) -> int:
    import pandas as pd

    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    table.to_parquet(out, compression="zstd")
    return len(table)


def pandas_csv_chunks(source: Path, out: Path) -> int:
    import pandas as pd

    return written(pd.read_csv(source, dtype=str, keep_default_na=False, chunksize=CHUNK), out)


def pandas_jsonl_chunks(source: Path, out: Path) -> int:
    import pandas as pd

    return written(pd.read_json(source, lines=True, chunksize=CHUNK), out)


def pandas_parquet(source: Path, out: Path) -> int:
    import pandas as pd

    table = pd.read_parquet(source)
    table.to_parquet(out, compression="zstd")
    return len(table)


def written(chunks: Any, out: Path) -> int:
    """Write chunks of pandas into one file, as its users do: the first one makes the schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, count = None, 0
    for chunk in chunks:
        table = pa.Table.from_pandas(chunk, preserve_index=False, schema=writer.schema if writer else None)
        writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd")
        writer.write_table(table)
        count += len(chunk)
    if writer:
        writer.close()
    return count


WAYS: dict[str, tuple[str, Callable[[Path, Path], int | tuple[int, float]]]] = {
    "twin csv": ("csv", twin_ours),
    "pandas csv, default": ("csv", pandas_csv),
    "pandas csv, text kept": ("csv", pandas_csv_text),
    "pandas csv, text kept, chunks": ("csv", pandas_csv_chunks),
    "twin jsonl": ("jsonl", twin_ours),
    "pandas jsonl, chunks": ("jsonl", pandas_jsonl_chunks),
    "twin parquet": ("parquet", twin_ours),
    "pandas parquet": ("parquet", pandas_parquet),
    "stage ingest": ("parquet", stage),
    "cleaning and scrubbing": ("parquet", clean_and_scrub),
    "cleaning and scrubbing, demo": ("demo", clean_and_scrub),
}


def run_way(way: str, source: Path, out: Path) -> dict[str, float]:
    """Measure in this process; its start and the imports are not counted, the memory of both is."""
    convert = WAYS[way][1]
    convert(DEMO if source == DEMO else source.with_name(f"warm.{WAYS[way][0]}"), out)
    before_mib = peak_mib()
    started_s = time.perf_counter()
    found = convert(source, out)
    count, seconds = found if isinstance(found, tuple) else (found, time.perf_counter() - started_s)
    return {"rows": count, "rows_per_s": count / seconds, "peak_mib": peak_mib(), "before_mib": before_mib}


def peak_mib() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(way: str, source: Path, out: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.ingest", "--way", way, "--source", str(source), "--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    assert way.startswith("cleaning") or found["rows"] == rows, (way, found)
    return found


def table(counts: list[int], rounds: int, folder: Path) -> list[dict[str, Any]]:
    found = []
    for count in counts:
        paths = write_all(folder, count) | {"demo": DEMO}
        for kind, path in write_all(folder / "small", 1000).items():
            path.replace(folder / f"warm.{kind}")
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, (kind, _) in WAYS.items():
                runs[way].append(measure(way, paths[kind], folder / "out.parquet", count))
        sizes = {kind: path.stat().st_size for kind, path in paths.items()}
        found += [row(way, count, sizes[kind], runs[way]) for way, (kind, _) in WAYS.items()]
    return found


def row(way: str, count: int, size_bytes: int, runs: list[dict[str, float]]) -> dict[str, Any]:
    keys = ("rows_per_s", "peak_mib", "before_mib")
    return {"way": way, "rows": count, "bytes": size_bytes} | {key: spread([run[key] for run in runs]) for key in keys}


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--result", type=Path, help=f"results file instead of {RESULTS}", default=RESULTS)
    for name in ("--way", "--source", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(run_way(options.way, Path(options.source), Path(options.out))))
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "small").mkdir()
        rows = table(options.rows, options.rounds, Path(folder))
    results = {"date": str(datetime.date.today()), "machine": describe(), "target": TARGET, "rounds": options.rounds}
    write_json(options.result, results | {"rows": rows})
    print(f"{'way':32}{'rows':>10}{'rows/s':>10}{'min':>9}{'max':>9}{'peak MiB':>10}{'min':>7}{'max':>7}")
    for one in rows:
        speed, peak = one["rows_per_s"], one["peak_mib"]
        print(
            f"{one['way']:32}{one['rows']:10,}{speed['median']:10,.0f}{speed['min']:9,.0f}{speed['max']:9,.0f}"
            f"{peak['median']:10,.0f}{peak['min']:7,.0f}{peak['max']:7,.0f}"
        )


if __name__ == "__main__":
    main()
