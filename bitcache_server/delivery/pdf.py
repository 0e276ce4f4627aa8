"""Documents as PDF: headings, paragraphs, facts, tables, page numbers; also right to left.

A small builder over fpdf2, with HarfBuzz for scripts whose letters change shape. Texts are
drawn as they are: nothing in a title or a name is markup here. IBM Plex (OFL) comes as a
package; ``fonts`` are files for scripts that it does not have.
"""

import io
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Self

from fpdf import FPDF, FontFace
from fpdf.enums import Align, TableBordersLayout, VAlign, XPos, YPos
from fpdf.fonts import TTFFont
from fpdf.table import Table

_FAMILY = "body"
_MARGIN_MM = 18.0
_LINE_MM = 5.2
_SIZE_PT = 10.0
_SMALL_PT = 8.5
_MUTED = (96, 96, 104)
_RULE = (208, 208, 214)
_LOGO_MM = (50.0, 18.0)
#: Stands for a letter that no font has.
_UNKNOWN = "?"
#: Marks inside Persian and Indian words that say how letters join.
_JOINERS = "\u200c\u200d"
#: Where a line must not end: between the thousands of a number, for instance.
_FIXED_SPACES = "\u00a0\u202f"
#: Longer texts than this in one piece are cut: a page shows no more of them anyway.
MAX_CHARS = 5_000


@dataclass(frozen=True)
class Column:
    """A column of a table: its head, whether it holds numbers, its share of the width."""

    words: str
    is_number: bool = False
    share: float = 1.0


class Document:
    """A4 pages that are written from the top down; ``finish`` returns the file."""

    def __init__(
        self,
        title: str,
        *,
        language: str,
        direction: str,
        made_at: int,
        logo_png: bytes | None = None,
        fonts: Sequence[Path] = (),
    ) -> None:
        """Begin a document; ``direction`` is ``ltr`` or ``rtl``, ``made_at`` Unix seconds."""
        self._rtl = direction == "rtl"
        self._fonts = tuple(fonts)
        self._letters: set[int] = set()
        self._has_all_fonts = False
        self._pdf = pdf = _Pages(format="A4")
        pdf.set_margin(_MARGIN_MM)
        pdf.set_auto_page_break(True, margin=_MARGIN_MM + 4)
        pdf.set_creation_date(datetime.fromtimestamp(made_at, UTC))
        pdf.set_lang(language)
        pdf.set_title(_plain(title).replace("\n", " "))
        pdf.set_producer("Bitcache")
        for style, path in zip(("", "B"), _own_fonts(), strict=True):
            pdf.add_font(_FAMILY, style, path)
        self._letters |= _letters_of(pdf, _FAMILY)
        pdf.set_text_shaping(True)
        pdf.add_page()
        if logo_png:
            self._logo(logo_png)
        self._write(title, size_pt=19, bold=True, line_mm=8)
        pdf.ln(2)

    def heading(self, words: str) -> None:
        """Write a heading that stays with at least three lines of what follows it."""
        if self._pdf.will_page_break(4 * _LINE_MM + 8):
            self._pdf.add_page()
        self._pdf.ln(5)
        self._write(words, size_pt=12.5, bold=True, line_mm=6.5)
        self._pdf.ln(1)

    def paragraph(self, words: str, *, muted: bool = False) -> None:
        """Write a paragraph; line ends in it stay."""
        if muted:
            self._pdf.set_text_color(*_MUTED)
        self._write(words, size_pt=_SMALL_PT if muted else _SIZE_PT)
        self._pdf.set_text_color(0)
        self._pdf.ln(1.5)

    def facts(self, pairs: Sequence[tuple[str, str]], *, share: float = 0.34) -> None:
        """Write names and what they stand for, side by side; ``share`` is the names' width."""
        columns = (Column("", share=share), Column("", share=1 - share))
        with self._table(columns, borders=TableBordersLayout.NONE, head=False) as table:
            for name, value in pairs:
                self._row(table, columns, (name, value), FontFace(color=_MUTED))

    def table(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[str]],
        *,
        totals: Sequence[Sequence[str]] = (),
    ) -> None:
        """Write a table whose head is repeated on each page; ``totals`` are its bold last rows."""
        layout = TableBordersLayout.HORIZONTAL_LINES
        with self._table(columns, borders=layout, head=True) as table:
            self._row(table, columns, [column.words for column in columns])
            for row in rows:
                self._row(table, columns, row)
            for row in totals:
                self._row(table, columns, row, FontFace(emphasis="BOLD"))
        self._pdf.ln(2)

    def picture(self, png: bytes, *, width_mm: float) -> None:
        """Draw a picture where a line would begin, as a code to scan."""
        page_mm = float(self._pdf.epw)
        x = _MARGIN_MM + page_mm - width_mm if self._rtl else _MARGIN_MM
        self._pdf.image(io.BytesIO(png), x=x, w=width_mm)
        self._pdf.ln(2)

    def finish(self) -> bytes:
        """Return the PDF file; nothing can be added after it."""
        made = bytes(self._pdf.output())
        self._close()
        return made

    def __enter__(self) -> Self:
        """Return the document; a ``with`` closes its font files however it ends."""
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for font in self._pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()

    def _logo(self, png: bytes) -> None:
        width_mm, height_mm = _LOGO_MM
        pdf = self._pdf
        x = _MARGIN_MM + pdf.epw - width_mm if self._rtl else _MARGIN_MM
        pdf.image(io.BytesIO(png), x=x, w=width_mm, h=height_mm, keep_aspect_ratio=True)
        pdf.ln(3)

    def _write(
        self, words: str, *, size_pt: float, bold: bool = False, line_mm: float = _LINE_MM
    ) -> None:
        text = self._drawable(words)
        self._pdf.set_font(_FAMILY, "B" if bold else "", size_pt)
        self._pdf.multi_cell(
            0,
            line_mm,
            text,
            align=Align.R if self._rtl else Align.L,
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )

    @contextmanager
    def _table(
        self, columns: Sequence[Column], *, borders: TableBordersLayout, head: bool
    ) -> Iterator[Table]:
        self._pdf.set_font(_FAMILY, "", _SMALL_PT if head else _SIZE_PT)
        self._pdf.set_draw_color(*_RULE)
        ordered = columns[::-1] if self._rtl else columns
        with self._pdf.table(
            borders_layout=borders,
            col_widths=tuple(column.share for column in ordered),
            first_row_as_headings=head,
            headings_style=FontFace(emphasis="BOLD", color=_MUTED),
            line_height=_LINE_MM,
            padding=(0.6, 1.2),
            text_align=tuple(self._side(column) for column in ordered),
            v_align=VAlign.T,
        ) as table:
            yield table

    def _side(self, column: Column) -> Align:
        return Align.R if column.is_number != self._rtl else Align.L

    def _row(
        self,
        table: Table,
        columns: Sequence[Column],
        cells: Sequence[str],
        style: FontFace | None = None,
    ) -> None:
        if len(cells) != len(columns):
            raise ValueError("A row has as many cells as there are columns.")
        texts = [self._drawable(cell) for cell in cells]
        row = table.row()
        for number, text in enumerate(reversed(texts) if self._rtl else texts):
            named = len(texts) == 2 and number == (1 if self._rtl else 0)
            row.cell(text, style=style if style and (named or style.emphasis) else None)

    def _drawable(self, words: str) -> str:
        """Return a text in letters that the fonts have, and a question mark for each other one.

        The fonts of further scripts are added once a text needs one.
        """
        text = _plain(words)
        if not self._has_all_fonts and not set(map(ord, text)) <= self._letters:
            self._add_fonts()
        return "".join(
            char if ord(char) in self._letters or char == "\n" else _UNKNOWN for char in text
        )

    def _add_fonts(self) -> None:
        self._has_all_fonts = True
        names = []
        for number, path in enumerate((_further_font(), *self._fonts)):
            names.append(f"more{number}")
            self._pdf.add_font(names[-1], "", path)
            self._letters |= _letters_of(self._pdf, names[-1])
        self._pdf.set_fallback_fonts(names, exact_match=False)


class _Pages(FPDF):
    """Pages with their number at the foot."""

    def footer(self) -> None:
        self.set_y(-14)
        self.set_font(_FAMILY, "", 8)
        self.set_text_color(*_MUTED)
        self.cell(0, 6, f"{self.page_no()} / {{nb}}", align=Align.C)
        self.set_text_color(0)


def _plain(text: str) -> str:
    """Return a text without characters that command; line ends and all letters stay."""
    return "".join(_harmless(char) for char in text[:MAX_CHARS])


def _harmless(char: str) -> str:
    if char.isprintable() or char in _JOINERS or char == "\n":
        return char
    if char in _FIXED_SPACES:
        return "\u00a0"
    # Marks that turn the direction of writing vanish; other control characters leave a gap.
    return "" if unicodedata.category(char) == "Cf" else " "


def _letters_of(pdf: FPDF, family: str) -> set[int]:
    font = pdf.fonts[family]
    return set(font.cmap) if isinstance(font, TTFFont) else set()


@cache
def _own_fonts() -> tuple[Path, Path]:
    """Return the files for Latin and Arabic script, regular and bold."""
    folder = Path(str(files("fontpkg_ibm_plex_sans_arabic"))) / "files"
    return folder / "IBMPlexSansArabic-Regular.ttf", folder / "IBMPlexSansArabic-Bold.ttf"


@cache
def _further_font() -> Path:
    """Return the file for Greek and Cyrillic script."""
    return Path(str(files("fontpkg_ibm_plex_sans"))) / "files" / "IBMPlexSans[wdth,wght].ttf"
