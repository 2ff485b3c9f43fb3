"""`python -m auditmw`: the command line."""

from auditmw.cli import main

if __name__ == "__main__":
    main()
