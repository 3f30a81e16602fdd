"""The `lta` command: thin, one module a command group; everything it does lives in the packages below."""
