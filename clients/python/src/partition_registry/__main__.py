"""The program partreg, which needs the extra cli."""

import sys


def main() -> None:
    try:
        from .cli import main as begin
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.stderr.write("partreg: it needs the extra cli: install partition-registry[cli]\n")
        sys.exit(2)
    begin()


if __name__ == "__main__":
    main()
