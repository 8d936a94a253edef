"""`python -m vitw_ray`: the command `vitw` where no script is on the path."""

from vitw_ray.cli.main import program

if __name__ == "__main__":
    program()
