"""`python -m vitw_ray`: the command `vitw` where no script is on the path."""

import sys

from vitw_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
