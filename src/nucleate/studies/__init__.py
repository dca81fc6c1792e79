"""What a study is: spec, plan, folder, tables, summary and findings; whoever reads one needs no runner."""

from nucleate.studies.findings import recommended_run
from nucleate.studies.folder import Study
from nucleate.studies.plan import PlannedRun, plan_chunks, plan_runs
from nucleate.studies.spec import StudySpec, make_spec, read_spec
from nucleate.studies.summary import summarize

__all__ = [
    "PlannedRun",
    "Study",
    "StudySpec",
    "make_spec",
    "plan_chunks",
    "plan_runs",
    "read_spec",
    "recommended_run",
    "summarize",
]
