//! Dashboards are generated from the list of metrics, and lie where deployments and people find them.
//!
//! `make dashboards` writes them: it runs this test with UPDATE_DASHBOARDS set.

use std::path::Path;

use platform::telemetry::Metric;
use strum::VariantArray;
use tests::dashboards::{cloudwatch, grafana, prometheus, shown};
use tests::{root, variable};

/// The line of template.yaml with the body of the dashboard.
const IN_TEMPLATE: &str = "      DashboardBody: !Sub\n        - '";

fn holds(path: &Path, expected: &str) {
    if variable("UPDATE_DASHBOARDS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not what the metrics make of it: run `make dashboards`",
        path.display()
    );
}

#[test]
fn dashboards_are_what_the_metrics_make_of_them() {
    let root = root();
    holds(&root.join("infra/terraform/dashboard.json.tftpl"), &(cloudwatch() + "\n"));
    holds(&root.join("infra/grafana/tripcast.json"), &grafana());
    holds(&root.join("infra/grafana/tripcast-prometheus.json"), &prometheus());
    let template = root.join("template.yaml");
    let text = std::fs::read_to_string(&template).unwrap();
    let (before, rest) = text.split_once(IN_TEMPLATE).expect("template.yaml has a dashboard");
    let (_, after) = rest.split_once("'\n").unwrap();
    assert!(!cloudwatch().contains('\''), "it stands in single quotes");
    holds(&template, &format!("{before}{IN_TEMPLATE}{}'\n{after}", cloudwatch()));
}

#[test]
fn every_metric_is_shown_and_no_other() {
    let mut shown = shown();
    shown.sort_unstable();
    shown.dedup();
    let mut emitted: Vec<&str> = Metric::VARIANTS.iter().map(|metric| metric.name()).collect();
    emitted.sort_unstable();
    assert_eq!(shown, emitted);
}
