"""The command line of Vitrine: thin, one sub-command a file."""
