"""A page on a run, or on several: one HTML file for a browser, paper or a telephone.

It holds no script and loads nothing: pictures are inside it. Whatever word comes from a file, a
folder or a user stands on it as text. What it is made of is plain data, so that a page can be made
of other things than a run folder. Names are imported when first used: runs are set side by side
without torch.
"""

from typing import TYPE_CHECKING

from gmvae.support.lazy import lazy_names

if TYPE_CHECKING:
    from gmvae.report.answer import Training, sentences
    from gmvae.report.cards import Card, ClassTable, Member, class_table, gallery
    from gmvae.report.contents import Column, Comparison, Report, Row
    from gmvae.report.page import render
    from gmvae.report.pictures import Picture, as_picture, png

__all__ = [
    "Card",
    "ClassTable",
    "Column",
    "Comparison",
    "Member",
    "Picture",
    "Report",
    "Row",
    "Training",
    "as_picture",
    "class_table",
    "gallery",
    "png",
    "render",
    "sentences",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Card": "cards",
        "ClassTable": "cards",
        "Column": "contents",
        "Comparison": "contents",
        "Member": "cards",
        "Picture": "pictures",
        "Report": "contents",
        "Row": "contents",
        "Training": "answer",
        "as_picture": "pictures",
        "class_table": "cards",
        "gallery": "cards",
        "png": "pictures",
        "render": "page",
        "sentences": "answer",
    },
)
