"""What a study is: spec, plan, folder, tables, summary and findings; whoever reads one needs no runner."""

from nucleate.studies.findings import AS_GOOD, Cell, Findings, recommended_run, study_findings
from nucleate.studies.folder import Study
from nucleate.studies.plan import PlannedRun, plan_chunks, plan_runs
from nucleate.studies.spec import StudySpec, make_spec, read_spec
from nucleate.studies.summary import finished_runs, measured_layers, summarize

__all__ = [
    "AS_GOOD",
    "Cell",
    "Findings",
    "PlannedRun",
    "Study",
    "StudySpec",
    "finished_runs",
    "make_spec",
    "measured_layers",
    "plan_chunks",
    "plan_runs",
    "read_spec",
    "recommended_run",
    "study_findings",
    "summarize",
]
