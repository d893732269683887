//! The content of a card, section by section.

use model::card::{SliceFigure, figure_name};
use model::performance::Figures;
use model::{Metrics, Target};
use registry::runs::Fingerprint;
use report::{Plot, Point, Range, Section, Table};
use serde_json::Value;
use store::json::{Arrays, leaves};

use super::{Card, Previous};

/// The known limits of every model.
const LIMITS: [&str; 5] = [
    "Trips of a city that changed: what was learned ends with the months listed under Data, and a closure, a storm or a new fare is not known before a month with it was learned from.",
    "The distance is a planned one in predictions, and the metered one in training; the table of distances says what that costs.",
    "Durations are judged between 1 and 60 minutes, the course's filter. Other trips are predicted, too, and intervals cover fewer of them.",
    "Tips are known only where the passenger paid by card: the probability is of those, not of cash.",
    "Zones tell neighbourhoods apart, and with them who lives there. No prediction may be used to refuse a trip or a passenger.",
];

/// Returns all sections in reading order.
pub(super) fn sections(card: &Card<'_>) -> Vec<Section> {
    let mut sections = vec![summary(card), slices(card), parts(card), distances(card), rules(card)];
    sections.extend(importance(card));
    sections.extend(tree(card));
    sections.push(difference(card));
    sections.push(data(card));
    sections.push(Section {
        title: "Limits",
        paragraphs: LIMITS.iter().map(ToString::to_string).collect(),
        ..Section::default()
    });
    sections
}

pub(super) fn limits() -> impl Iterator<Item = &'static str> {
    LIMITS.into_iter()
}

fn target(card: &Card<'_>) -> Target {
    card.trained.artifact.lineage.target
}

/// Returns what the model predicts, in a sentence.
pub(super) fn overview(target: Target) -> &'static str {
    match target {
        Target::Duration => {
            "How many minutes a taxi trip in New York will take, with an interval that covers 90 %."
        }
        Target::Tip => "How probably the driver of a taxi trip in New York that is paid by card is tipped.",
    }
}

fn summary(card: &Card<'_>) -> Section {
    let lineage = &card.trained.artifact.lineage;
    let mut paragraphs = vec![
        overview(lineage.target).to_string(),
        format!(
            "Family {}, trained by run {} on rules `{}`; {} bytes.",
            lineage.family.name(),
            card.run,
            lineage.params.rules.name(),
            card.trained.bytes.len()
        ),
    ];
    paragraphs.push(match card.assessed.objections.as_slice() {
        [] => "There were no objections.".into(),
        objections => format!("Not promoted, because: {}.", objections.join("; ")),
    });
    let judged_on = match lineage.target {
        Target::Duration => "holdout month, course rules, without defective segments",
        Target::Tip => "holdout month, course rules",
    };
    let rows = vec![
        row(format!("learned from, {} rules", lineage.params.rules.name()), &card.trained.train),
        row(judged_on.into(), &card.assessed.metrics),
    ];
    let tables = vec![Table { head: head(lineage.target), rows }];
    Section { title: "Summary", paragraphs, tables, ..Section::default() }
}

fn head(target: Target) -> Vec<&'static str> {
    match target {
        Target::Duration => vec!["rows", "count", "RMSE, min", "MAE, min", "R²", "covered", "width, min"],
        Target::Tip => {
            vec!["rows", "count", "AUC", "log loss", "Brier", "tipped", "calibration error"]
        }
    }
}

fn row(name: String, metrics: &Metrics) -> Vec<String> {
    let mut row = vec![name, metrics.rows.to_string()];
    row.extend(match &metrics.figures {
        Figures::Duration { rmse, mae, r2, coverage, interval_width_min } => [
            format!("{rmse:.3}"),
            format!("{mae:.3}"),
            format!("{r2:.3}"),
            percent(*coverage),
            format!("{interval_width_min:.2}"),
        ],
        Figures::Tip { auc, log_loss, brier, base_rate, ece } => [
            format!("{auc:.4}"),
            format!("{log_loss:.4}"),
            format!("{brier:.4}"),
            percent(*base_rate),
            ece.map(|ece| format!("{ece:.4}")).unwrap_or_default(),
        ],
    });
    row
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn slice_name(slice: &SliceFigure) -> String {
    match slice.value.as_str() {
        "" => "all trips".into(),
        value => format!("{}: {value}", slice.by.replace('_', " ")),
    }
}

fn slices(card: &Card<'_>) -> Section {
    let figures = &card.findings.slices;
    let range =
        |of: &SliceFigure| Range { label: slice_name(of), at: of.figure, lower: of.lower, upper: of.upper };
    // Slices of a few trips carry no information, and would stretch the scale.
    let shown = figures.iter().filter(|of| of.rows >= 30);
    let unit = figure_name(target(card));
    let row = |of: &SliceFigure| {
        let mut row = vec![
            slice_name(of),
            of.rows.to_string(),
            format!("{:.4}", of.figure),
            format!("{:.4} to {:.4}", of.lower, of.upper),
        ];
        row.extend(of.coverage.map(percent));
        row
    };
    let mut head = vec!["slice", "rows", unit, "95 % bounds"];
    head.extend(figures.iter().find_map(|of| of.coverage).map(|_| "inside the interval"));
    Section {
        title: "Error by slice",
        paragraphs: vec![format!("{unit}, on the holdout month, with 95 % bounds by a bootstrap over days.")],
        plots: vec![Plot::ranges(unit, shown.map(range).collect())],
        tables: vec![Table { head, rows: figures.iter().map(row).collect() }],
        ..Section::default()
    }
}

fn parts(card: &Card<'_>) -> Section {
    let parts = &card.findings.parts;
    let is_duration = target(card) == Target::Duration;
    let (predicted, actual) = if is_duration {
        ("predicted minutes", "actual minutes")
    } else {
        ("predicted probability", "actual share tipped")
    };
    let point = |x: f64, y: f64, error: f64| Point { x, y, error };
    let honest = parts.iter().map(|part| point(part.predicted, part.actual, part.actual_error)).collect();
    let mut plots = vec![Plot::points("Predicted and actual", predicted, actual, honest).with_diagonal()];
    let mut head = vec!["part", "trips", predicted, actual];
    if is_duration {
        let of = |value: &dyn Fn(&model::card::Part) -> Option<f64>| -> Vec<Point> {
            parts.iter().filter_map(|part| Some(point(part.predicted, value(part)?, 0.0))).collect()
        };
        let covered = of(&|part| part.coverage);
        plots.push(
            Plot::points("Intervals cover", predicted, "share inside the interval", covered).with_level(0.9),
        );
        plots.push(Plot::points(
            "Intervals are wide",
            predicted,
            "mean width, minutes",
            of(&|part| part.width_min),
        ));
        head.extend(["covered", "width, min"]);
    }
    let row = |(number, part): (usize, &model::card::Part)| {
        let mut row = vec![
            (number + 1).to_string(),
            part.rows.to_string(),
            format!("{:.3}", part.predicted),
            format!("{:.3} ± {:.3}", part.actual, part.actual_error),
        ];
        row.extend(part.coverage.map(|share| format!("{:.1} %", 100.0 * share)));
        row.extend(part.width_min.map(|minutes| format!("{minutes:.2}")));
        row
    };
    let rows = parts.iter().enumerate().map(row).collect();
    Section {
        title: if is_duration { "Reliability and intervals" } else { "Reliability" },
        paragraphs: vec![
            "Trips in ten parts of about as many, in the order of their predictions; two standard errors."
                .into(),
        ],
        plots,
        tables: vec![Table { head, rows }],
        ..Section::default()
    }
}

fn distances(card: &Card<'_>) -> Section {
    let row = |of: &model::card::Sensitivity| {
        vec![of.distance.to_string(), of.rows.to_string(), format!("{:.4}", of.figure)]
    };
    let found = &card.findings.sensitivity;
    let bar = |of: &model::card::Sensitivity| Range::bar(of.distance, of.figure);
    let unit = figure_name(target(card));
    Section {
        title: "Sensitivity to the distance",
        paragraphs: vec!["The same trips, asked about with another distance than the meter's.".into()],
        plots: vec![Plot::bars(unit, found.iter().map(bar).collect())],
        tables: vec![Table { head: vec!["distance", "trips", unit], rows: found.iter().map(row).collect() }],
        ..Section::default()
    }
}

fn rules(card: &Card<'_>) -> Section {
    let of = |judged: &model::Judgement| row(format!("{} rules", judged.rules.name()), &judged.metrics);
    let mut paragraphs = vec![
        "`course` keeps trips of 1 to 60 minutes; `strict` also drops pickups outside of the month and reversals.".into(),
    ];
    paragraphs.extend(card.findings.all_served.as_ref().map(|all| {
        format!(
            "Of all {} trips with both times, however long they took, {:.1} % were inside their interval, which was {:.2} minutes wide.",
            all.rows,
            100.0 * all.coverage,
            all.width_min
        )
    }));
    let rows = card.findings.rule_sets.iter().map(of).collect();
    let tables = vec![Table { head: head(target(card)), rows }];
    Section { title: "Sets of rules", paragraphs, tables, ..Section::default() }
}

fn importance(card: &Card<'_>) -> Option<Section> {
    let found = &card.findings.importance;
    let unit = match target(card) {
        Target::Duration => "minutes that it adds or takes, on average",
        Target::Tip => "log odds that it adds or takes, on average",
    };
    let row = |of: &model::explanation::Importance| {
        vec![of.feature.to_string(), format!("{:.4}", of.mean_absolute), of.splits.to_string()]
    };
    (!found.is_empty()).then(|| Section {
        title: "What it looks at",
        paragraphs: vec!["Shapley values (TreeSHAP) of a sample of trips of the holdout month.".into()],
        plots: vec![Plot::bars(
            unit,
            found.iter().map(|of| Range::bar(of.feature, of.mean_absolute)).collect(),
        )],
        tables: vec![Table { head: vec!["feature", unit, "splits"], rows: found.iter().map(row).collect() }],
        ..Section::default()
    })
}

fn tree(card: &Card<'_>) -> Option<Section> {
    let lines = &card.findings.tree_rules;
    (!lines.is_empty()).then(|| Section {
        title: "Its rules",
        paragraphs: vec!["The tree, from its root; what is deeper is summed up.".into()],
        lines: lines.clone(),
        ..Section::default()
    })
}

fn difference(card: &Card<'_>) -> Section {
    let title = "Difference from the previous version";
    let Some(previous) = &card.previous else {
        let paragraphs = vec!["There was no champion before it.".into()];
        return Section { title, paragraphs, ..Section::default() };
    };
    let mut paragraphs = vec![format!("Beside {}, the champion when it was judged.", previous.version)];
    if let Some(comparison) = &card.assessed.comparison {
        paragraphs.push(format!(
            "On the same rows it is {:+.2} % better, at least {:+.2} % at the required confidence.",
            100.0 * comparison.improvement,
            100.0 * comparison.improvement_bound
        ));
    }
    let rows = vec![
        row(format!("{}, judged", previous.version), previous.metrics),
        row(format!("{}, judged", card.trained.version), &card.assessed.metrics),
    ];
    let figures = Table { head: head(target(card)), rows };
    let changed = Table { head: vec!["what", "before", "now"], rows: changes(card, previous) };
    Section { title, paragraphs, tables: vec![figures, changed], ..Section::default() }
}

/// Returns what differs between the lineages, as rows of path, old value and new value.
pub(super) fn changes(card: &Card<'_>, previous: &Previous<'_>) -> Vec<Vec<String>> {
    let (before, now) = (&previous.artifact.lineage, &card.trained.artifact.lineage);
    let as_json = |lineage: &model::Lineage| {
        serde_json::json!({
            "family": lineage.family, "params": lineage.params, "rounds": lineage.course.rounds,
            "files": lineage.data.len(), "rows": lineage.data.iter().map(|file| file.rows).sum::<u64>(),
        })
    };
    let before = leaves(&as_json(before), Arrays::Whole);
    let now = leaves(&as_json(now), Arrays::Whole).into_iter();
    let changed = now.map(|(path, now)| (before.get(&path).unwrap_or(&Value::Null).clone(), path, now));
    let changed = changed.filter(|(before, _, now)| before != now);
    changed.map(|(before, path, now)| vec![path, before.to_string(), now.to_string()]).collect()
}

fn data(card: &Card<'_>) -> Section {
    let row = |file: &Fingerprint| vec![file.month.to_string(), file.rows.to_string(), file.sha256.clone()];
    let mut paragraphs = vec![
        "Months of trip records of the New York Taxi and Limousine Commission; the last one is the holdout month, and nothing was learned from it.".into(),
    ];
    let remarks = card.data.iter().flat_map(|file| file.remarks.iter().map(|one| (file.month, one)));
    paragraphs.extend(remarks.map(|(month, remark)| format!("{month}: {remark}.")));
    Section {
        title: "Data",
        paragraphs,
        tables: vec![Table {
            head: vec!["month", "rows", "sha256 of the file"],
            rows: card.data.iter().map(row).collect(),
        }],
        ..Section::default()
    }
}
