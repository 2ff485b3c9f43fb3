"""The command line: `auditmw COMMAND ...`, the same as `python -m auditmw`."""

import sys

NEEDS = ("click", "rich", "duckdb")


def main() -> None:
    """Run the command line and exit: 0 done, 1 something wrong was found, 2 usage, 3 cannot read."""
    try:
        from auditmw.cli.program import run

        code = run()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDS:
            raise
        sys.stderr.write(f"auditmw: the command line needs {error.name}; install it with: pip install 'auditmw[cli]'\n")
        sys.exit(2)
    sys.exit(code)
