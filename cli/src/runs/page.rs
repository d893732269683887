//! The page of a retraining: its decisions, and a timeline of its steps.

use registry::runs::{Retrained, Run, StepTaken};
use report::{Plot, Range, Report, Section, Table};

/// Makes the page of a run.
pub fn page(run: &Run) -> Report {
    let sections = vec![decisions(run), timeline(run), data(run)];
    Report { title: format!("Retraining {}", run.run), sections }
}

fn decisions(run: &Run) -> Section {
    let (taxi, now, started) = (&run.taxi, run.now, run.started.format("%Y-%m-%d %H:%M:%S UTC"));
    let mut paragraphs =
        vec![format!("{taxi} taxis as of {now}; it began at {started} and took {:.1} s.", run.seconds)];
    paragraphs.extend(run.nothing_to_do.iter().map(|reason| format!("Nothing to do: {reason}.")));
    paragraphs.extend(run.failed.iter().map(|failed| {
        let target = failed.target.map_or(String::new(), |target| format!(" of {target}"));
        format!("Failed{target}: {}.", failed.detail)
    }));
    paragraphs.extend(
        run.targets.iter().map(|one| format!("{}: {} {}.", one.target, one.version, one.decision.reason)),
    );
    let row = |one: &Retrained| {
        let (figure, value) = one.challenger.metrics.figures.deciding();
        let champion = one.champion.as_ref().map(|champion| champion.metrics.figures.deciding().1);
        vec![
            one.target.to_string(),
            one.family.name().into(),
            one.version.to_string(),
            figure.into(),
            format!("{value:.4}"),
            champion.map_or("none".into(), |value| format!("{value:.4}")),
            if one.promoted { "yes".into() } else { "no".into() },
        ]
    };
    let head = vec!["target", "family", "version", "metric", "challenger", "champion", "promoted"];
    let rows: Vec<_> = run.targets.iter().map(row).collect();
    let tables = if rows.is_empty() { Vec::new() } else { vec![Table { head, rows }] };
    Section { title: "What was decided", paragraphs, tables, ..Section::default() }
}

fn timeline(run: &Run) -> Section {
    let mut section = Section { title: "What took time", ..Section::default() };
    if run.steps.is_empty() {
        section
            .paragraphs
            .push("The record has no steps: an earlier version of the retrainer wrote it.".into());
        return section;
    }
    let span = |step: &StepTaken| Range {
        label: label(step),
        at: step.seconds,
        lower: step.began,
        upper: step.began + step.seconds,
    };
    section.plots.push(Plot::spans(
        "seconds after the beginning; at the right, how many each step took",
        run.steps.iter().map(span).collect(),
    ));
    let row = |step: &StepTaken| {
        vec![
            label(step),
            format!("{:.1}", step.began),
            format!("{:.1}", step.seconds),
            step.retries.to_string(),
        ]
    };
    let head = vec!["step", "began, s", "took, s", "repeated"];
    section.tables.push(Table { head, rows: run.steps.iter().map(row).collect() });
    let repeated: Vec<String> = run
        .steps
        .iter()
        .filter(|step| step.retries > 0)
        .map(|step| format!("{} was repeated {} times.", label(step), step.retries))
        .collect();
    section.paragraphs.extend(repeated);
    section
}

fn label(step: &StepTaken) -> String {
    step.target.map_or(step.name.clone(), |target| format!("{target}: {}", step.name))
}

fn data(run: &Run) -> Section {
    let mut paragraphs = Vec::new();
    if !run.missing.is_empty() {
        let months: Vec<String> = run.missing.iter().map(ToString::to_string).collect();
        paragraphs.push(format!("Months that were missing: {}.", months.join(", ")));
    }
    paragraphs.extend(run.left_out.iter().map(|one| format!("{} was left out: {}.", one.key, one.reason)));
    let mut rows = Vec::new();
    for file in &run.data {
        paragraphs.extend(file.remarks.iter().map(|remark| format!("{}: {remark}.", file.key)));
        rows.push(vec![
            file.key.clone(),
            file.rows.to_string(),
            file.sha256.get(..12).unwrap_or(&file.sha256).into(),
        ]);
    }
    let tables =
        if rows.is_empty() { Vec::new() } else { vec![Table { head: vec!["file", "rows", "sha256"], rows }] };
    Section { title: "What was read", paragraphs, tables, ..Section::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_decisions_and_what_took_time() {
        let record = include_str!("../../.././shared/registry/src/runs-2026-11-26.json");
        let mut run: Run = serde_json::from_str(record).unwrap();
        let html = page(&run).html();
        assert!(
            html.contains(run.targets[0].version.as_str()) && html.contains("The record has no steps"),
            "{html}"
        );
        let step = |name: &str, began, retries| StepTaken {
            name: name.into(),
            target: None,
            began,
            seconds: 2.5,
            retries,
        };
        run.steps = vec![step("read <months>", 0.0, 0), step("fit", 2.5, 2)];
        let html = page(&run).html();
        assert!(html.contains("read &lt;months&gt;") && html.contains("fit was repeated 2 times."), "{html}");
        assert_eq!(html.matches("<rect").count(), 2);
    }
}
