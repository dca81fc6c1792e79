"""Tables as people have them: files of text, spreadsheets, Parquet and npz, and what their cells hold.

What is done with the columns is a matter of `nucleate.problems`.
"""

from nucleate.tables.form import Form

__all__ = ["Form"]
