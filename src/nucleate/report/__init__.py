"""Showing studies: figures for print."""

from nucleate.report import figures

__all__ = ["figures"]
