"""Documents as PDF: what stands in them, in both directions of writing."""

import io
import logging

import pypdfium2
import pytest
from PIL import Image

from bitcache_server.delivery.pdf import MAX_CHARS, Column, Document

COLUMNS = (Column("What", share=2), Column("Amount", is_number=True))


def text_of(pdf: bytes) -> str:
    """Return what a reader would copy, of all pages."""
    with pypdfium2.PdfDocument(pdf) as document:
        return "\n".join(page.get_textpage().get_text_range() for page in document)


def document(language: str = "en", direction: str = "ltr") -> Document:
    return Document("A title", language=language, direction=direction, made_at=1_800_000_000)


def png() -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (60, 20), "navy").save(held, "PNG")
    return held.getvalue()


def test_all_parts_of_a_document() -> None:
    made = Document(
        "A title", language="en", direction="ltr", made_at=1_800_000_000, logo_png=png()
    )
    made.paragraph("First line\nSecond line")
    made.paragraph("small print", muted=True)
    made.facts([("Name", "Ada"), ("Long", "word " * 80)])
    made.heading("A heading")
    made.table(COLUMNS, [("Tea", "1.50"), ("Milk", "0.50")], totals=[("All", "2.00")])
    made.picture(png(), width_mm=30)
    text = text_of(made.finish())
    for words in ("A title", "First line", "Second line", "small print", "Ada", "A heading",
                  "What", "Tea 1.50", "All 2.00", "1 / 1"):  # fmt: skip
        assert words in text, words


def test_the_head_of_a_table_is_on_each_page() -> None:
    made = document()
    made.table(COLUMNS, [(f"Row {number}", str(number)) for number in range(100)])
    pdf = made.finish()
    # Letters that were moved closer together are copied apart.
    text = "".join(text_of(pdf).split())
    with pypdfium2.PdfDocument(pdf) as pages:
        count = len(pages)
    assert count > 2
    assert text.count("WhatAmount") == count
    assert f"{count}/{count}" in text
    assert all(f"Row{number}{number}" in text for number in range(100))


def test_markup_and_commands_stay_text() -> None:
    made = document()
    made.paragraph("<b>bold</b> **stars** __line__ {nb} (x) \\ %s")
    made.facts([("\x1b[31m", "a\u202eb\x00c")])
    text = text_of(made.finish())
    assert "<b>bold</b> **stars** __line__" in text
    assert "(x) \\ %s" in text
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_scripts_of_the_world(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    made = document()
    made.paragraph("Ελληνικά Кириллица Ærøskøbing ₿ €")
    # No font has these; something is seen all the same.
    made.paragraph("日本 שלום")
    text = text_of(made.finish())
    for words in ("Ελληνικά", "Кириллица", "Ærøskøbing", "?? ????"):
        assert words in text
    assert caplog.records == []


def test_right_to_left() -> None:
    """The first column is the one on the right, and Arabic letters are joined."""
    made = document("ar", "rtl")
    made.table(COLUMNS, [("مقال", "12")])
    with pypdfium2.PdfDocument(made.finish()) as pages:
        page = pages[0].get_textpage()
        found = {words: page.search(words).get_next() for words in ("What", "Amount", "12")}
        left = {words: page.get_charbox(place[0])[0] for words, place in found.items() if place}
    assert set(left) == {"What", "Amount", "12"}
    assert left["Amount"] < left["What"]
    assert abs(left["12"] - left["Amount"]) < 3


def test_a_row_with_the_wrong_number_of_cells_is_refused() -> None:
    with document() as made, pytest.raises(ValueError, match="as many cells"):
        made.table(COLUMNS, [("one",)])


def test_very_long_words_and_texts_end() -> None:
    made = document()
    made.paragraph("x" * 3 * MAX_CHARS)
    made.facts([("y" * 200, "z" * 400)])
    assert text_of(made.finish()).count("x") == MAX_CHARS


def test_the_file_says_in_which_language_it_is() -> None:
    assert b"/Lang (ar)" in document("ar", "rtl").finish()
