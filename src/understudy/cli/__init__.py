"""The command line: a table of commands; the module of a command is imported when it is called."""
