//! Alarms: whatever is lost rings, and docs/OPERATIONS.md has a row for each.

use std::collections::BTreeSet;

use tests::functions::functions;
use tests::infrastructure::{Facts, fact, of_sam};

use crate::deployments::{both, names, number};

/// The alarms of a function that loses events, each with its metric: what Lambda gave up, and what it could not even
/// keep.
const LOST: [(&str, &str); 2] =
    [("events_dropped", "AsyncEventsDropped"), ("destination", "DestinationDeliveryFailures")];

/// Returns the rules and schedules. Nobody waits for what they invoke: Lambda keeps their events, and tries again by
/// itself.
fn asynchronous_triggers(facts: &Facts) -> BTreeSet<&str> {
    let reads = |trigger: &str, source: &str| facts.contains_key(&format!("trigger.{trigger}.{source}"));
    let triggers = names(facts, "trigger.").into_iter();
    triggers.filter(|trigger| !reads(trigger, "queue") && !reads(trigger, "stream")).collect()
}

/// Returns the resources of the functions that those invoke.
fn asynchronous_functions(facts: &Facts) -> BTreeSet<&str> {
    let function = |trigger: &str| fact(facts, &format!("trigger.{trigger}.function"));
    // By its name, or by an alias of it.
    let resource = |trigger| function(trigger).trim_start_matches('{').split('.').next().unwrap();
    asynchronous_triggers(facts).into_iter().map(resource).collect()
}

/// Checks that an alarm rings at the first event of a metric of a function.
fn check_alarm(which: &str, facts: &Facts, alarm: &str, metric: &str, function: &str) {
    let of = |field: &str| fact(facts, &format!("alarm.{alarm}.{field}"));
    let measured = (of("namespace"), of("metric"), of("statistic"));
    assert_eq!(measured, ("AWS/Lambda", metric, "Sum"), "{which}: {alarm}");
    assert_eq!(of("dimension.FunctionName"), format!("{{{function}.name}}"), "{which}: {alarm}");
    let rings = (of("operator"), of("threshold"), of("periods_that_ring"), of("missing"));
    assert_eq!(rings, ("GreaterThanThreshold", "0", "1", "notBreaching"), "{which}: {alarm}");
    // A metric has the time at which its invocation began, and is there a while after its end.
    let counted = |field: &str| number(facts, &format!("alarm.{alarm}.{field}"));
    let looks_back = counted("period_s") * counted("periods");
    let timeout = number(facts, &format!("function.{function}.timeout_s"));
    assert!(looks_back >= timeout + 300.0, "{which}: {alarm}: {looks_back} s");
}

#[test]
fn every_function_that_is_invoked_asynchronously_rings_when_it_loses_an_event() {
    for (which, facts) in both() {
        let functions = asynchronous_functions(&facts);
        assert!(functions.len() >= 3, "{which}: {functions:?}");
        let mut settled = names(&facts, "invoked.");
        // For people, who invoke a function by its name alone, where rules invoke its alias.
        settled.retain(|name| facts.get(&format!("invoked.{name}.of")).is_none_or(|of| of != "$LATEST"));
        assert_eq!(functions, settled, "{which}: tries and a destination are for these");
        for function in functions {
            for (kind, metric) in LOST {
                let alarm = format!("{}_{kind}_alarm", function.trim_end_matches("_function"));
                check_alarm(which, &facts, &alarm, metric, function);
            }
        }
        let (alarm, [_, (_, metric)]) = ("records_destination_alarm", LOST);
        check_alarm(which, &facts, alarm, metric, "scorer_function");
    }
}

#[test]
fn what_reaches_no_function_rings() {
    for (which, facts) in both() {
        let alarms = names(&facts, "alarm.");
        let of = |alarm: &str, field: &str| facts.get(&format!("alarm.{alarm}.{field}")).cloned();
        let holds_anything = |alarm: &&str| {
            of(alarm, "metric").is_some_and(|metric| metric == "ApproximateNumberOfMessagesVisible")
                && of(alarm, "threshold").is_some_and(|threshold| threshold == "0")
        };
        let queues = alarms.iter().copied().filter(holds_anything);
        let queues: BTreeSet<String> = queues.filter_map(|alarm| of(alarm, "dimension.QueueName")).collect();
        let triggers = asynchronous_triggers(&facts);
        for trigger in &triggers {
            let place = fact(&facts, &format!("trigger.{trigger}.dead_letters")).replace(".arn}", ".name}");
            assert!(queues.contains(&place), "{which}: {trigger}: nothing rings for {place}");
        }
        // A schedule whose role cannot be assumed leaves no dead letter either. Its role is that of the report of ages,
        // whose absence rings.
        let role = |trigger: &str| facts.get(&format!("trigger.{trigger}.role"));
        let schedules: Vec<&&str> = triggers.iter().filter(|trigger| role(trigger).is_some()).collect();
        assert!(schedules.len() >= 3, "{which}: {schedules:?}");
        for schedule in schedules {
            assert_eq!(role(schedule), role("retrainer_function_report"), "{which}: {schedule}");
        }
    }
}

/// Turns `trips_age_alarm` into `TripsAge`.
fn name_in_the_table(resource: &str) -> String {
    let words = resource.split('_').filter(|word| *word != "alarm" && *word != "function");
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

#[test]
fn every_alarm_has_a_row_with_the_command_to_run_first() {
    let path = "docs/OPERATIONS.md";
    let guide = std::fs::read_to_string(tests::root().join(path)).unwrap();
    let (_, section) = guide.split_once("\n## An alarm rings\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| alarm |"))
        .map(|line| line.trim_matches(['|', ' ']).split(" | ").collect())
        .collect();
    for row in &rows {
        assert!(row.len() == 4 && row[2].starts_with('`'), "{path}: no command to run first: {row:?}");
    }
    let listed: Vec<&str> = rows.iter().flat_map(|row| row[0].split(", ")).collect();
    let facts = of_sam();
    let alarms: BTreeSet<String> = names(&facts, "alarm.").into_iter().map(name_in_the_table).collect();
    let unknown: Vec<&&str> = listed.iter().filter(|alarm| !alarms.contains(**alarm)).collect();
    assert!(unknown.is_empty(), "{path}: the template has no {unknown:?}");
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "{path}: {listed:?}");
    // A function that was added may describe its alarms in its own folder.
    let functions = functions();
    let prefixes = functions.iter().map(|function| name_in_the_table(&function.resource));
    let elsewhere: Vec<String> =
        prefixes.filter(|prefix| !listed.iter().any(|alarm| alarm.starts_with(prefix.as_str()))).collect();
    assert!(elsewhere.len() + 5 <= functions.len(), "{path}: nothing of {elsewhere:?}");
    for alarm in alarms {
        let is_exempt = elsewhere.iter().any(|prefix| alarm.starts_with(prefix.as_str()));
        assert!(is_exempt || listed.contains(&alarm.as_str()), "{path} has no row for {alarm}");
    }
}
