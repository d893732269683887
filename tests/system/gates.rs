//! What the gates of a retraining let through: every clean month, and no spoiled one.

use model::LabelledTrips;
use model::gates::{Inspection, MonthProfile};
use tests::months::real_or_say;

use crate::real_data::month;

/// Rows in an order of their own: what was row `i` is row `order[i]` (multiplied by a number without common divisor).
fn shuffled<T: Copy>(values: &mut [T], rows: &[usize]) {
    let before: Vec<T> = rows.iter().map(|&row| values[row]).collect();
    let step = (7919..).find(|step| !rows.len().is_multiple_of(*step)).unwrap_or(1);
    rows.iter().enumerate().for_each(|(at, &row)| values[row] = before[at * step % rows.len()]);
}

type Spoil = fn(&mut LabelledTrips);

/// Ways of spoiling a month that have happened to somebody.
const SPOILED: [(&str, Spoil); 6] = [
    ("durations shuffled", |file| {
        let mut lasted: Vec<_> = file
            .trips
            .pickup
            .iter()
            .zip(&file.outcomes.dropoff)
            .map(|(from, to)| Some((*to)? - (*from)?))
            .collect();
        shuffled(&mut lasted, &(0..file.trips.len()).collect::<Vec<_>>());
        for (row, lasted) in lasted.into_iter().enumerate() {
            file.outcomes.dropoff[row] =
                file.trips.pickup[row].zip(lasted).map(|(from, lasted)| from + lasted);
        }
    }),
    ("tips shuffled", |file| {
        let card: Vec<usize> =
            (0..file.trips.len()).filter(|&row| file.outcomes.payment_type[row] == Some(1)).collect();
        shuffled(&mut file.outcomes.tip_amount, &card);
    }),
    ("distances in km", |file| {
        file.trips.distance_miles.iter_mut().flatten().for_each(|miles| *miles *= 1.609_344);
    }),
    ("one zone flooded", |file| {
        file.trips.pickup_zone.iter_mut().step_by(4).for_each(|zone| *zone = model::Zone::new(7));
    }),
    ("all durations 10", |file| {
        for (row, dropoff) in file.outcomes.dropoff.iter_mut().enumerate() {
            *dropoff = file.trips.pickup[row].map(|from| from + chrono::TimeDelta::minutes(10));
        }
    }),
    ("half the rows dropped", |file| {
        let kept: Vec<usize> = (0..file.trips.len()).filter(|row| row % 2 == 0).collect();
        file.trips = file.trips.select(&kept);
        file.outcomes = kept.iter().map(|&row| file.outcomes.outcome(row)).fold(
            model::OutcomeBatch::default(),
            |mut outcomes, outcome| {
                outcomes.push(outcome);
                outcomes
            },
        );
    }),
];

/// Every clean month passes beside those before it; spoiled it does not. Prints both rates.
#[test]
fn spoiled_months_are_refused_and_clean_ones_are_not() {
    let Some(folder) = real_or_say("gates") else { return };
    let files =
        std::fs::read_dir(&folder).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let mut names: Vec<String> =
        files.filter_map(|name| name.strip_suffix(".parquet").map(String::from)).collect();
    names.retain(|name| name.starts_with("green_"));
    names.sort();
    let mut accepted: Vec<MonthProfile> = Vec::new();
    let mut caught = [0; SPOILED.len()];
    let mut spoiled = 0;
    for name in &names {
        let file = month(&folder, name);
        let clean = Inspection::of(MonthProfile::of(&file), &accepted);
        assert_eq!(clean.refusal(), None, "{name}");
        let has_recent =
            accepted.last().is_some_and(|last| last.month == file.month.map(|month| month.minus(1)));
        if has_recent {
            spoiled += 1;
            for (number, (_, spoil)) in SPOILED.iter().enumerate() {
                let mut bad = file.clone();
                spoil(&mut bad);
                let refusal = Inspection::of(MonthProfile::of(&bad), &accepted).refusal();
                caught[number] += usize::from(refusal.is_some());
            }
        }
        if name.ends_with("2021-01") {
            let artefact = clean.warnings().find(|check| check.name == "same_tip_without_payment_share");
            assert!(
                artefact.is_some_and(|check| check.figure > Some(0.3)),
                "tips of 2.75 of trips without payment"
            );
        }
        accepted.push(clean.profile);
    }
    eprintln!("clean months: {} of {} accepted", accepted.len(), names.len());
    for ((what, _), caught) in SPOILED.iter().zip(caught) {
        eprintln!("{what}: {caught} of {spoiled} refused");
        assert_eq!(caught, spoiled, "{what}");
    }
}
