"""`python -m recaudit` is the console script."""

from .cli import main

main()
