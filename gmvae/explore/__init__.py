"""A page to explore a latent space: one HTML file, in which the decoder runs in the browser.

It loads nothing. Its script is the package's own and nothing else of it is run: whatever word comes
from a file, a folder or a user stands on it as text.
"""

from typing import TYPE_CHECKING

from gmvae.support.lazy import lazy_names

if TYPE_CHECKING:
    from gmvae.explore.decoder import Program, program
    from gmvae.explore.document import page

__all__ = ["Program", "page", "program"]

__getattr__, __dir__ = lazy_names(
    __name__, {"Program": "decoder", "page": "document", "program": "decoder"}
)
