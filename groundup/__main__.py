"""`python -m groundup` is the command `groundup`."""

import os
import sys

if __name__ == "__main__":
    # `-m` put the working directory first on sys.path: import nothing from there.
    first, package = os.path.realpath(sys.path[0]), os.path.dirname(os.path.dirname(__file__))
    if first == os.path.realpath(os.getcwd()) != os.path.realpath(package):
        del sys.path[0]
    from groundup.cli import main

    main()
