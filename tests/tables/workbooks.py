"""Small .xlsx files, cell by cell, as a spreadsheet program writes them."""

import datetime
import io
import zipfile
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
_EPOCH = datetime.datetime(1899, 12, 30)
_STYLES = {datetime.date: 14, datetime.datetime: 22, datetime.time: 20, datetime.timedelta: 46}
"""The number formats of dates and times that Excel has built in."""


def workbook(sheets):
    """The bytes of a file with these sheets, each a list of rows of Python values; None is an empty cell."""
    content = io.BytesIO()
    numbers = range(1, len(sheets) + 1)
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_WORKBOOK}"/></Types>',
        )
        archive.writestr("_rels/.rels", _links({"r0": ("officeDocument", "xl/workbook.xml")}))
        listed = "".join(
            f'<sheet name="{escape(name)}" sheetId="{k}" r:id="r{k}"/>' for k, name in zip(numbers, sheets, strict=True)
        )
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_REL}"><sheets>{listed}</sheets></workbook>'
        )
        parts = {f"r{k}": ("worksheet", f"worksheets/sheet{k}.xml") for k in numbers}
        archive.writestr("xl/_rels/workbook.xml.rels", _links(parts | {"s": ("styles", "styles.xml")}))
        formats = "".join(f'<xf numFmtId="{number}"/>' for number in (0, *_STYLES.values()))
        archive.writestr("xl/styles.xml", f'<styleSheet xmlns="{_MAIN}"><cellXfs>{formats}</cellXfs></styleSheet>')
        for k, rows in zip(numbers, sheets.values(), strict=True):
            cells = "".join(f'<row r="{r}">{_row(r, row)}</row>' for r, row in enumerate(rows, 1))
            archive.writestr(
                f"xl/worksheets/sheet{k}.xml",
                f'<worksheet xmlns="{_MAIN}"><sheetData>{cells}</sheetData></worksheet>',
            )
    return content.getvalue()


def _links(targets):
    links = "".join(
        f'<Relationship Id="{name}" Type="{_REL}/{kind}" Target="{target}"/>'
        for name, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'


def _row(number, row):
    return "".join(_cell(f"{chr(65 + k)}{number}", value) for k, value in enumerate(row) if value is not None)


def _cell(place, value):
    match value:
        case bool():
            return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
        case int() | float():
            return f'<c r="{place}"><v>{value!r}</v></c>'
        case str() if value.startswith("#"):
            return f'<c r="{place}" t="e"><v>{value}</v></c>'
        case str():
            return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    style = 1 + list(_STYLES).index(type(value))
    return f'<c r="{place}" s="{style}"><v>{_days(value)!r}</v></c>'


def _days(value):
    match value:
        case datetime.datetime():
            return (value - _EPOCH) / datetime.timedelta(days=1)
        case datetime.date():
            return (value - _EPOCH.date()).days
        case datetime.time():
            return (value.hour * 3600 + value.minute * 60 + value.second) / 86400
    return value / datetime.timedelta(days=1)
