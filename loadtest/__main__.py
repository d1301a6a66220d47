"""``python -m loadtest SCENARIO``."""

from loadtest.cli import main

if __name__ == "__main__":
    main()
