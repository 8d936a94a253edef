"""The command line: `vitw COMMAND`. `main.COMMANDS` lists the commands, one module each."""
