"""E-mail settings of identity servers as code.

The verbs of the command line as typed functions, their results and errors; see :mod:`ztrust_mail.api`, and
:mod:`ztrust_mail.aio` for callers on an event loop. :mod:`ztrust_mail.fleet` has workers do them. Nothing heavy is
imported until it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ztrust_mail._version import __version__

if TYPE_CHECKING:
    from ztrust_mail import aio
    from ztrust_mail import fleet as fleet
    from ztrust_mail.api import (
        CheckOptions,
        Ensured,
        Session,
        apply,
        check,
        compare,
        connect,
        dangers,
        diff,
        doctor,
        drift,
        ensure,
        explain,
        find_unfinished,
        fit_spec,
        forget,
        history,
        leftovers,
        lint,
        load_plan,
        load_spec,
        plan,
        plan_saved,
        presets,
        probe,
        prunable,
        prune,
        pull,
        refuse,
        revert_plan,
        rotate_plan,
        run_to_revert,
        save_plan,
        servers,
        settle,
        test,
        unfinished,
        validate,
        write_probe_jobs,
    )
    from ztrust_mail.api.pull_spec import Pulled
    from ztrust_mail.api.spec_types import DefaultsDict, EntryDict, SpecDict
    from ztrust_mail.applying.options import Waves
    from ztrust_mail.applying.outcome import RealmOutcome, Result
    from ztrust_mail.core.errors import (
        ConfigError,
        ExitStatus,
        JournalError,
        MailTestFailed,
        NoServerChosen,
        RealmError,
        RealmMissing,
        RealmUnreadable,
        ResultError,
        SecretError,
        ServerError,
        ServerRefused,
        ServerUnreachable,
        SpecError,
        Unsafe,
        UsageError,
        WriteDeadlineExceeded,
        ZtrustMailError,
    )
    from ztrust_mail.core.findings import Finding, Location, Severity
    from ztrust_mail.core.secret import Secret
    from ztrust_mail.diagnose.doctor import DoctorReport
    from ztrust_mail.diagnose.mail_test import MailTestOutcome, MailTestRun
    from ztrust_mail.diagnose.servers import ReachCheck, ServerList
    from ztrust_mail.diagnose.verdict import Diagnosis, Verdict
    from ztrust_mail.drift_detection.drift import Drift
    from ztrust_mail.kits.result import CheckRun
    from ztrust_mail.linting.result import LintResult
    from ztrust_mail.linting.selection import LintOptions
    from ztrust_mail.planning.compare import Change, SecretMode
    from ztrust_mail.planning.differences import RunDiff, ServerDiff
    from ztrust_mail.planning.past_runs import PastRun
    from ztrust_mail.planning.plan import Plan, RealmPlan, Status
    from ztrust_mail.planning.planners.rotate import RelayLogin
    from ztrust_mail.probing.kubernetes_job import JobPlace
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.outcome import RelayOutcome, Stage
    from ztrust_mail.probing.relay import Relay
    from ztrust_mail.probing.run import ProbeRun
    from ztrust_mail.providers.presets import Preset
    from ztrust_mail.settings.inventory import ListedServer
    from ztrust_mail.specfile.entries import Spec

__all__ = [
    "Change",
    "CheckOptions",
    "CheckRun",
    "ConfigError",
    "DefaultsDict",
    "Diagnosis",
    "DoctorReport",
    "Drift",
    "Ensured",
    "EntryDict",
    "ExitStatus",
    "Finding",
    "JobPlace",
    "JournalError",
    "LintOptions",
    "LintResult",
    "ListedServer",
    "Location",
    "MailTestFailed",
    "MailTestOutcome",
    "MailTestRun",
    "NoServerChosen",
    "PastRun",
    "Plan",
    "Preset",
    "ProbeOptions",
    "ProbeRun",
    "Pulled",
    "ReachCheck",
    "RealmError",
    "RealmMissing",
    "RealmOutcome",
    "RealmPlan",
    "RealmUnreadable",
    "Relay",
    "RelayLogin",
    "RelayOutcome",
    "Result",
    "ResultError",
    "RunDiff",
    "Secret",
    "SecretError",
    "SecretMode",
    "ServerDiff",
    "ServerError",
    "ServerList",
    "ServerRefused",
    "ServerUnreachable",
    "Session",
    "Severity",
    "Spec",
    "SpecDict",
    "SpecError",
    "Stage",
    "Status",
    "Unsafe",
    "UsageError",
    "Verdict",
    "Waves",
    "WriteDeadlineExceeded",
    "ZtrustMailError",
    "__version__",
    "aio",
    "apply",
    "check",
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
    "forget",
    "history",
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
    "revert_plan",
    "rotate_plan",
    "run_to_revert",
    "save_plan",
    "servers",
    "settle",
    "test",
    "unfinished",
    "validate",
    "write_probe_jobs",
]

_ELSEWHERE = {
    "ztrust_mail.api.pull_spec": ("Pulled",),
    "ztrust_mail.api.spec_types": ("DefaultsDict", "EntryDict", "SpecDict"),
    "ztrust_mail.applying.outcome": ("RealmOutcome", "Result"),
    "ztrust_mail.applying.options": ("Waves",),
    "ztrust_mail.core.errors": (
        "ConfigError",
        "ExitStatus",
        "JournalError",
        "MailTestFailed",
        "NoServerChosen",
        "RealmError",
        "RealmMissing",
        "RealmUnreadable",
        "ResultError",
        "SecretError",
        "ServerError",
        "ServerRefused",
        "ServerUnreachable",
        "SpecError",
        "Unsafe",
        "UsageError",
        "WriteDeadlineExceeded",
        "ZtrustMailError",
    ),
    "ztrust_mail.core.findings": ("Finding", "Location", "Severity"),
    "ztrust_mail.core.secret": ("Secret",),
    "ztrust_mail.diagnose.doctor": ("DoctorReport",),
    "ztrust_mail.diagnose.mail_test": ("MailTestOutcome", "MailTestRun"),
    "ztrust_mail.diagnose.verdict": ("Diagnosis", "Verdict"),
    "ztrust_mail.diagnose.servers": ("ReachCheck", "ServerList"),
    "ztrust_mail.settings.inventory": ("ListedServer",),
    "ztrust_mail.drift_detection.drift": ("Drift",),
    "ztrust_mail.linting.result": ("LintResult",),
    "ztrust_mail.linting.selection": ("LintOptions",),
    "ztrust_mail.kits.result": ("CheckRun",),
    "ztrust_mail.planning.compare": ("Change", "SecretMode"),
    "ztrust_mail.planning.past_runs": ("PastRun",),
    "ztrust_mail.planning.plan": ("Plan", "RealmPlan", "Status"),
    "ztrust_mail.planning.planners.rotate": ("RelayLogin",),
    "ztrust_mail.planning.differences": ("RunDiff", "ServerDiff"),
    "ztrust_mail.providers.presets": ("Preset",),
    "ztrust_mail.probing.kubernetes_job": ("JobPlace",),
    "ztrust_mail.probing.options": ("ProbeOptions",),
    "ztrust_mail.probing.outcome": ("RelayOutcome", "Stage"),
    "ztrust_mail.probing.relay": ("Relay",),
    "ztrust_mail.probing.run": ("ProbeRun",),
    "ztrust_mail.specfile.entries": ("Spec",),
}
_HOME = {name: module for module, names in _ELSEWHERE.items() for name in names}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name in ("aio", "fleet"):
        return importlib.import_module(f"ztrust_mail.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME.get(name, "ztrust_mail.api")), name)
