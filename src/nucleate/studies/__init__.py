"""What a study is: spec, plan, folder, tables, summary and findings; whoever reads one needs no runner."""

from nucleate.studies import tables
from nucleate.studies.findings import Cell, Findings, judge_study, recommended_run, study_findings, unjudged_findings
from nucleate.studies.folder import Study
from nucleate.studies.formats import snapshots_to_bytes
from nucleate.studies.judgement import Judgement, Standing, load_judgement, save_judgement
from nucleate.studies.keeper import ChunkResult, Keeper, follow, keep, refuse_foreign
from nucleate.studies.ownership import OwnedError, Owner
from nucleate.studies.places import At, checkpoint_file, model_file, snapshots_file
from nucleate.studies.plan import Chunk, Plan, PlannedRun
from nucleate.studies.spec import StudySpec, make_spec, read_spec
from nucleate.studies.stored import DamagedError
from nucleate.studies.summary import FAILED, LEARNED, STUCK, finished_runs, measured_layers, summarize

__all__ = [
    "FAILED",
    "LEARNED",
    "STUCK",
    "At",
    "Cell",
    "Chunk",
    "ChunkResult",
    "DamagedError",
    "Findings",
    "Judgement",
    "Keeper",
    "OwnedError",
    "Owner",
    "Plan",
    "PlannedRun",
    "Standing",
    "Study",
    "StudySpec",
    "checkpoint_file",
    "finished_runs",
    "follow",
    "judge_study",
    "keep",
    "load_judgement",
    "make_spec",
    "measured_layers",
    "model_file",
    "read_spec",
    "recommended_run",
    "refuse_foreign",
    "save_judgement",
    "snapshots_file",
    "snapshots_to_bytes",
    "study_findings",
    "summarize",
    "tables",
    "unjudged_findings",
]
