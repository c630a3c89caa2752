"""`python -m raymoco`, as a Ray job starts it."""

from raymoco.cli import main

if __name__ == "__main__":
    main()
