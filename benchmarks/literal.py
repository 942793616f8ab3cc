"""The literal figure 1 at the paper's scale, or as much of it as there is time for.

    python benchmarks/literal.py --out FOLDER --device cuda --until $(($(date +%s) + 450))

Called again on the same folder, it goes on where it stopped. Exit status 0: complete; 75: stopped for
lack of time, with a result that says which generation it reached; 1: nothing was reached.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from scoredrift.experiments import LITERAL, run_abreast

PARTIAL = 75  # EX_TEMPFAIL of sysexits.h: not done, call again
REHEARSAL = {"size": 200, "generations": 4, "runs": 1, "steps": 10}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of result and state")
    parser.add_argument("--device", default="cuda", help="torch device")
    parser.add_argument("--until", type=float, default=math.inf, help="be done by this time.time()")
    parser.add_argument("--rehearse", action="store_true", help="tiny; numbers mean nothing")
    arguments = parser.parse_args()
    scale, settings = ("rehearsal", REHEARSAL) if arguments.rehearse else ("paper", None)
    options = {"device": arguments.device, "until": arguments.until, "settings": settings}
    reached = run_abreast(scale, out=arguments.out, say=lambda line: print(line, flush=True), **options)
    if reached < 0:
        return 1
    return 0 if reached == (settings or LITERAL.scales[scale])["generations"] else PARTIAL


if __name__ == "__main__":
    sys.exit(main())
