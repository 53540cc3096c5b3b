"""``python -m gmvae``: the command line, which stands on the library and is imported here alone."""

from gmvae_cli.entry import main

if __name__ == "__main__":
    main()
