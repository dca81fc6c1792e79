"""What a study is: spec, plan, folder, tables, summary and findings; whoever reads one needs no runner."""

from nucleate.studies import tables
from nucleate.studies.findings import Cell, Findings, recommended_run, study_findings
from nucleate.studies.folder import Study
from nucleate.studies.judgement import Judgement, Standing, load_judgement
from nucleate.studies.ownership import OwnedError
from nucleate.studies.plan import Chunk, Plan, PlannedRun
from nucleate.studies.spec import StudySpec, make_spec, read_spec
from nucleate.studies.stored import DamagedError
from nucleate.studies.summary import FAILED, LEARNED, STUCK, summarize

__all__ = [
    "FAILED",
    "LEARNED",
    "STUCK",
    "Cell",
    "Chunk",
    "DamagedError",
    "Findings",
    "Judgement",
    "OwnedError",
    "Plan",
    "PlannedRun",
    "Standing",
    "Study",
    "StudySpec",
    "load_judgement",
    "make_spec",
    "read_spec",
    "recommended_run",
    "study_findings",
    "summarize",
    "tables",
]
