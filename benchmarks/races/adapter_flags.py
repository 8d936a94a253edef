"""The flags with which the race starts an adapter; needs the standard library only."""

import argparse


def parser_of(about: str | None) -> argparse.ArgumentParser:
    """A parser with the flags of every adapter."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rows", required=True, help="JSON lines with the prompts")
    parser.add_argument("--url", required=True, help="of the server")
    parser.add_argument("--output", required=True, help="folder that may be there already")
    parser.add_argument("--in-flight", type=int, default=64, help="requests at once")
    return parser
