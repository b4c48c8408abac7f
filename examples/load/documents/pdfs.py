"""Makes PDFs as scanners do: each page a line of text, and a picture of what is written on it.

The pictures can be read: the red part of a pixel is a letter's code. So a result proves that it is the right
page's, and the OCR service of this example (``ocr.py``) needs no neural network.
"""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pypdf import PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    EncodedStreamObject,
    NameObject,
    NumberObject,
    StreamObject,
)

__all__ = ["Document", "batch", "lumps", "text_of"]

_WIDTH, _HEIGHT = 300, 200
_A4 = (595, 842)


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A PDF to be.

    :param name: its name, without ``.pdf``
    :param pages: how many it has
    :param poison: the pages whose picture is broken
    :param truncated: whether the file ends in the middle, as after a broken upload
    """

    name: str
    pages: int
    poison: frozenset[int] = frozenset()
    truncated: bool = False

    def content(self) -> bytes:
        """The file."""
        writer = PdfWriter()
        font = writer._add_object(_font())
        for number in range(1, self.pages + 1):
            text = text_of(self.name, number)
            page = writer.add_blank_page(*_A4)
            picture = writer._add_object(_picture(text, broken=number in self.poison))
            page[NameObject("/Resources")] = DictionaryObject(
                {
                    NameObject("/Font"): DictionaryObject({NameObject("/F1"): font}),
                    NameObject("/XObject"): DictionaryObject({NameObject("/Im1"): picture}),
                }
            )
            drawn = StreamObject()
            drawn.set_data(
                f"BT /F1 18 Tf 60 780 Td ({text}) Tj ET q 450 0 0 300 60 420 cm /Im1 Do Q".encode("ascii")
            )
            page[NameObject("/Contents")] = writer._add_object(drawn)
        made = io.BytesIO()
        writer.write(made)
        content = made.getvalue()
        return content[: len(content) * 3 // 5] if self.truncated else content


def text_of(name: str, number: int) -> str:
    """What is written on a page."""
    return f"{name}, page {number}"


def batch(
    *, documents: int, pages: int, seed: int = 7, poison: int = 1, truncated: int = 1
) -> tuple[Document, ...]:
    """Documents of very different lengths that have so many readable pages together.

    :param documents: how many, the truncated ones among them
    :param pages: of all that are not truncated
    :param poison: how many pages have a broken picture
    :param truncated: how many documents end in the middle of their file
    :raises ValueError: when there is not a page for each document, or nothing but truncated ones
    """
    good = documents - truncated
    if not (0 <= truncated < documents and good <= pages and 0 <= poison <= pages):
        raise ValueError(
            f"batch: {documents} documents, {truncated} of them truncated, {pages} pages, {poison} poison; "
            "allowed: at least one document that is whole, and a page for each"
        )
    dice = random.Random(seed)
    cuts = sorted(dice.sample(range(1, pages), good - 1))
    lengths = [end - begin for begin, end in zip([0, *cuts], [*cuts, pages], strict=True)]
    every = [(at, page) for at, many in enumerate(lengths) for page in range(1, many + 1)]
    broken = dice.sample(every, poison)
    made = [
        Document(name=_name(at), pages=many, poison=frozenset(page for which, page in broken if which == at))
        for at, many in enumerate(lengths)
    ]
    made += [Document(name=_name(good + at), pages=10, truncated=True) for at in range(truncated)]
    dice.shuffle(made)
    return tuple(made)


def lumps(documents: Sequence[Document], count: int, *, seed: int = 7) -> Iterator[Sequence[Document]]:
    """The documents in so many lumps of unequal size, as they arrive in the field."""
    count = max(1, min(count, len(documents)))
    cuts = sorted(random.Random(seed).sample(range(1, len(documents)), count - 1))
    for begin, end in zip([0, *cuts], [*cuts, len(documents)], strict=True):
        yield documents[begin:end]


def _name(at: int) -> str:
    return f"invoices-{at + 1:02}"


def _font() -> DictionaryObject:
    return DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )


def _picture(text: str, *, broken: bool) -> EncodedStreamObject:
    letters = text.encode("ascii").ljust(_WIDTH * _HEIGHT, b"\0")
    pixels = bytearray(len(letters) * 3)
    for colour in range(3):
        pixels[colour::3] = letters
    packed = zlib.compress(pixels)
    picture = EncodedStreamObject()
    picture.update(
        {
            NameObject("/Type"): NameObject("/XObject"),
            NameObject("/Subtype"): NameObject("/Image"),
            NameObject("/Width"): NumberObject(_WIDTH),
            NameObject("/Height"): NumberObject(_HEIGHT),
            NameObject("/ColorSpace"): NameObject("/DeviceRGB"),
            NameObject("/BitsPerComponent"): NumberObject(8),
            NameObject("/Filter"): ArrayObject([NameObject("/FlateDecode")]),
        }
    )
    picture._data = packed[: len(packed) // 2] if broken else packed
    return picture
