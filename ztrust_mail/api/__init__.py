"""The library: everything the command line does, as functions that neither print nor exit.

A typical use::

    import ztrust_mail

    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": {...}}})
    with ztrust_mail.connect("https://id.example.com", spec=spec) as session:
        plan = ztrust_mail.plan(spec, session)
        if plan.changed:
            result = ztrust_mail.apply(plan, session)
"""

from __future__ import annotations

from ztrust_mail.api.journal import (
    diff,
    forget,
    history,
    leftovers,
    prunable,
    prune,
    revert_plan,
    rotate_plan,
    run_to_revert,
)
from ztrust_mail.api.linting import lint, validate
from ztrust_mail.api.onboarding import Ensured, ensure
from ztrust_mail.api.probing import KITS, CheckOptions, check, probe, write_probe_jobs
from ztrust_mail.api.read import compare, doctor, drift, plan, pull, servers, test
from ztrust_mail.api.report import render_report
from ztrust_mail.api.run import (
    Dialogue,
    Execution,
    PlanVerdict,
    closed_window_note,
    find_unfinished,
    judge,
    require_support,
    run_plan,
    settle,
)
from ztrust_mail.api.session import Session, connect
from ztrust_mail.api.specs import explain, fit_spec, load_spec, presets
from ztrust_mail.api.write import apply, dangers, fit_to_file, load_plan, plan_saved, refuse, save_plan, spec_digest
from ztrust_mail.core.results import ResultMethods, make_report

make_report.register(ResultMethods, render_report)  # reports are made above the rooms of results

unfinished = find_unfinished  # the name of earlier versions

__all__ = [
    "KITS",
    "CheckOptions",
    "Dialogue",
    "Ensured",
    "Execution",
    "PlanVerdict",
    "Session",
    "apply",
    "check",
    "closed_window_note",
    "compare",
    "connect",
    "dangers",
    "diff",
    "doctor",
    "drift",
    "ensure",
    "explain",
    "find_unfinished",
    "fit_spec",
    "fit_to_file",
    "forget",
    "history",
    "judge",
    "leftovers",
    "lint",
    "load_plan",
    "load_spec",
    "plan",
    "plan_saved",
    "presets",
    "probe",
    "prunable",
    "prune",
    "pull",
    "refuse",
    "require_support",
    "revert_plan",
    "rotate_plan",
    "run_plan",
    "run_to_revert",
    "save_plan",
    "servers",
    "settle",
    "spec_digest",
    "test",
    "unfinished",
    "validate",
    "write_probe_jobs",
]
