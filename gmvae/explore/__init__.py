"""A page to explore a latent space: one HTML file, in which the decoder runs in the browser.

It loads nothing. Its script is the package's own and nothing else of it is run: whatever word comes
from a file, a folder or a user stands on it as text. Where a model is too large for that, the page
asks a server on the same machine (:func:`server`).
"""

from typing import TYPE_CHECKING

from gmvae.support.lazy import lazy_names

if TYPE_CHECKING:
    from gmvae.explore.decoder import Program, program
    from gmvae.explore.document import page
    from gmvae.explore.serving import Server, server

__all__ = ["Program", "Server", "page", "program", "server"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Program": "decoder",
        "Server": "serving",
        "page": "document",
        "program": "decoder",
        "server": "serving",
    },
)
