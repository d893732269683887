use model::candidates::FitParams;
use model::decision::PromotionPolicy;
use model::request::local_time;
use model::{Family, Holdout, LabelledTrips, Outcome, Target, Trip, Work, Zone, decide, go_on, train};

use super::*;

fn month(name: &str) -> LabelledTrips {
    let (mut trips, mut outcomes) = (Vec::new(), Vec::new());
    for row in 0..1500u32 {
        let pickup = local_time(&format!("{name}-{:02} {:02}:30:00", row % 28 + 1, row % 24)).unwrap();
        let miles = f64::from(row % 40) / 8.0 + 0.4;
        trips.push(Trip {
            pickup_zone: Zone::new((row % 9 + 70) as u16),
            dropoff_zone: Zone::new((row % 7 + 130) as u16),
            pickup: Some(pickup),
            distance_miles: Some(miles),
            ..Trip::default()
        });
        outcomes.push(Outcome {
            dropoff: Some(pickup + chrono::TimeDelta::seconds((200.0 * miles) as i64 + 150)),
            tip_amount: Some(f64::from(u8::from(row % 3 > 0 && miles > 1.0))),
            fare_amount: Some(9.0),
            payment_type: Some(1),
        });
    }
    LabelledTrips { month: name.parse().ok(), trips, outcomes, ..LabelledTrips::default() }
}

/// Builds the card of a model of the first month, judged on the second beside one with other parameters.
fn card_of(target: Target, family: Family) -> (Value, String, String) {
    let (january, february) = ([month("2021-01")], [month("2021-02")]);
    let fit = |ridge: f64| {
        let params = FitParams { ridge, ..FitParams::default() };
        train(target, family, &params, &january, &mut Work { threads: 1, control: &mut go_on }).unwrap()
    };
    let (trained, before) = (fit(0.0), fit(9.0));
    let rows = Holdout::new(target, &february);
    let [scored, scored_before] = [&trained, &before].map(|one| rows.score(&one.artifact.model));
    let findings = rows.findings(&trained.artifact.model, &scored, &february);
    let version = before.version.to_string();
    let metrics = scored_before.metrics.clone();
    let challenger = model::decision::Challenger {
        version: trained.version.clone(),
        family,
        scored,
        defects: vec!["<script>alert(1)</script>".into()],
    };
    let decision =
        decide(&rows, Some((&before.version, &scored_before)), vec![challenger], &PromotionPolicy::default());
    let data = [Fingerprint {
        month: "2021-01".parse().unwrap(),
        key: "history/green_tripdata_2021-01.parquet".into(),
        etag: String::new(),
        sha256: "ab".repeat(32),
        rows: 1500,
        remarks: vec!["durations of 226 rows of VendorID 6 (0.43 % of the file) are not learned from".into()],
    }];
    let previous = Previous { version: &version, artifact: &before.artifact, metrics: &metrics };
    Card {
        run: "2021-03-15-test",
        made: "2021-03-15T09:00:00Z".parse().unwrap(),
        trained: &trained,
        assessed: decision.assessment(&trained.version).unwrap(),
        findings: &findings,
        data: &data,
        previous: Some(previous),
    }
    .files()
}

#[test]
fn a_card_says_the_same_in_every_form() {
    let (document, markdown, html) = card_of(Target::Duration, Family::Boosted);
    let details = &document["model_details"]["tripcast"];
    let rmse = details["validate"]["rmse"].as_f64().unwrap();
    assert_eq!(
        (&details["run"], &details["validate"]["rules"]),
        (&"2021-03-15-test".into(), &"course".into())
    );
    assert_eq!(document["quantitative_analysis"]["performance_metrics"][0]["value"], rmse.to_string());
    for section in [
        "Summary",
        "Error by slice",
        "Reliability and intervals",
        "Sensitivity to the distance",
        "Sets of rules",
        "What it looks at",
        "Difference from the previous version",
        "Data",
        "Limits",
    ] {
        assert!(markdown.contains(&format!("\n## {section}\n")), "{section}: {markdown}");
        assert!(html.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
    let predicted = format!("{rmse:.3}");
    assert!(markdown.contains(&predicted) && html.contains(&predicted));
    assert!(markdown.contains("| 95 % bounds | inside the interval |"), "{markdown}");
    let left_out = "2021-01: durations of 226 rows of VendorID 6 (0.43 % of the file) are not learned from.";
    assert!(markdown.contains(left_out) && html.contains(left_out), "{markdown}");
    assert!(markdown.contains("| params.ridge | 9.0 | 0.0 |"), "{markdown}");
    assert!(
        document["model_details"]["version"]["diff"].as_str().unwrap().contains("params.ridge 9.0 -> 0.0")
    );
}

#[test]
fn a_page_needs_nothing_else_and_runs_nothing() {
    let (_, _, html) = card_of(Target::Duration, Family::Linear);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    for foreign in ["<script", "src=", "@import", "url(", "NaN", "\"inf", ">inf"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert!(html.matches("<svg").count() >= 5, "slices, reliability, coverage, width, distances");
}

#[test]
fn the_card_of_a_tree_shows_its_rules() {
    let (document, markdown, html) = card_of(Target::Tip, Family::Tree);
    assert!(markdown.contains("## Its rules") && html.contains("<pre>"), "{markdown}");
    let rules = document["model_details"]["tripcast"]["findings"]["tree_rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule.as_str().unwrap().contains("distance_miles")), "{rules:?}");
}
