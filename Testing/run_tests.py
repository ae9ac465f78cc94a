"""All checks: ruff, mypy, the import contracts and the tests. Further arguments go to pytest.

Makes the project's environment on the first run.
"""

import os
import subprocess
import sys

import environment


def main() -> int:
    """Run every check, also after one has failed; 0 where all passed."""
    environment.enter("dev,slicer-test")
    checks = {
        "ruff": [sys.executable, "-m", "ruff", "check", "."],
        "mypy": [sys.executable, "-m", "mypy"],
        "import contracts": [str(environment.PYTHON.with_name("lint-imports"))],
        "tests": [sys.executable, "-m", "pytest", "-n", "2", "-q", *sys.argv[1:]],
    }
    # Two test processes with one thread each beat one process with two threads.
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    failed = []
    for name, command in checks.items():
        print(f"== {name}", flush=True)
        if subprocess.call(command, cwd=environment.ROOT, env=settings) != 0:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
