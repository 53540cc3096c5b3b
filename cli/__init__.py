"""The command line of gmvae, installed as the package ``gmvae_cli``: one file a command.

No module here imports torch, numpy or the heavy parts of gmvae at its top: ``gmvae --help``
answers at once, and a command imports what it needs when it runs.
"""
