use proptest::prelude::*;

use super::*;

/// Servers that take one message each, for an exponential time of this mean.
fn servers(n: u32, mean: f64) -> QueueSettings {
    QueueSettings {
        batch: 1,
        window: 0.0,
        computing: 0.0,
        waiting: mean,
        messages_a_round: 40,
        cold: 0.0,
        pollers: n,
        pollers_a_minute: 0,
        pollers_max: n,
        concurrency: n,
        visibility: 30.0,
        receives_max: 5,
    }
}

fn steady(rate: f64, end: f64) -> Load {
    Load { rate, burst: rate, from: end, until: end, end }
}

/// Returns when the last message was answered, seconds.
fn worked_off(found: &BurstOutcome) -> f64 {
    found.seconds.iter().rev().find(|one| one.oldest > 0.0).map_or(0.0, |one| one.at)
}

fn is_near(found: f64, expected: f64, relative: f64) {
    assert!((found / expected - 1.0).abs() < relative, "{found}, expected {expected}");
}

#[test]
fn one_server_waits_as_m_m_1_says() {
    // Mean wait before service: rho / (mu - lambda).
    let found = simulate(servers(1, 1.0), steady(0.8, 300_000.0), 1);
    is_near(found.wait_mean, 0.8 / (1.0 - 0.8), 0.05);
    is_near(found.answered as f64, 0.8 * 300_000.0, 0.01);
    // The time in an M/M/1 system is exponential, of rate mu - lambda.
    is_near(found.answered_within[0], 2f64.ln() / 0.2, 0.05);
    is_near(found.answered_within[1], 100f64.ln() / 0.2, 0.05);
}

#[test]
fn many_servers_wait_as_erlang_says() {
    let (n, rate) = (8u32, 6.4);
    // Erlang's formula C, of the offered load `rate`.
    let term = |k: u32| (1..=k).fold(1.0, |product, of| product * rate / f64::from(of));
    let last = term(n) / (1.0 - rate / f64::from(n));
    let waits = last / ((0..n).map(term).sum::<f64>() + last);
    let found = simulate(servers(n, 1.0), steady(rate, 60_000.0), 2);
    is_near(found.wait_mean, waits / (f64::from(n) - rate), 0.05);
}

#[test]
fn a_constant_time_halves_the_wait_as_pollaczek_and_khinchine_say() {
    let service = QueueSettings { computing: 1.0, waiting: 0.0, ..servers(1, 0.0) };
    let found = simulate(service, steady(0.8, 300_000.0), 3);
    is_near(found.wait_mean, 0.8 / (2.0 * (1.0 - 0.8)), 0.05);
}

#[test]
fn a_burst_is_worked_off_at_the_rate_of_all_servers() {
    let service = QueueSettings { batch: 100, computing: 0.05, waiting: 0.0, ..servers(10, 0.0) };
    let load = Load { rate: 0.0, burst: 100_000.0, from: 10.0, until: 20.0, end: 30.0 };
    let found = simulate(service, load, 4);
    // Ten servers answer 20,000 messages a second.
    is_near(worked_off(&found) - 10.0, found.arrived as f64 / 20_000.0, 0.1);
    assert_eq!((found.running_max, found.throttled, found.dead_lettered), (10, 0, 0));
}

#[test]
fn pollers_are_added_while_messages_wait() {
    let service = QueueSettings {
        pollers: 5,
        pollers_a_minute: 300,
        pollers_max: 1000,
        concurrency: 1000,
        ..servers(5, 1.0)
    };
    let load = Load { rate: 0.0, burst: 1000.0, from: 0.0, until: 60.0, end: 60.0 };
    let found = simulate(service, load, 5);
    let running = |at: usize| f64::from(found.seconds[at - 1].running);
    is_near(running(20), 100.0, 0.06);
    is_near(running(40), 200.0, 0.04);
}

#[test]
fn a_batch_that_is_not_whole_waits_for_its_window() {
    let service = QueueSettings { batch: 100, window: 1.0, computing: 0.01, waiting: 0.0, ..servers(5, 0.0) };
    let found = simulate(service, steady(10.0, 10_000.0), 6);
    // The first of about eleven waits a second, the others on average half of one.
    is_near(found.wait_mean, 0.5, 0.1);
    is_near(found.batches as f64, found.arrived as f64 / 11.0, 0.05);
}

#[test]
fn what_is_throttled_waits_its_turn_and_is_dead_lettered_after_too_many_receives() {
    let service = QueueSettings { concurrency: 1, receives_max: 2, visibility: 5.0, ..servers(20, 1.0) };
    let load = Load { rate: 0.0, burst: 50.0, from: 0.0, until: 10.0, end: 10.0 };
    let found = simulate(service, load, 7);
    assert!(found.throttled > 0 && found.dead_lettered > 0, "{found:?}");
    assert_eq!(found.arrived, found.answered + found.dead_lettered);
    // With time to wait, none is.
    let patient = QueueSettings { visibility: 1000.0, ..service };
    let found = simulate(patient, load, 7);
    assert_eq!((found.dead_lettered, found.answered), (0, found.arrived));
    assert!(found.throttled > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every message ends once, whatever the service; and the same seed gives the same.
    #[test]
    fn every_message_ends_once(
        batch in 1u32..200, window in 0.0f64..2.0, computing in 0.0f64..0.2, waiting in 0.001f64..0.2,
        pollers_max in 5u32..50, concurrency in 1u32..50, receives_max in 1u32..6, burst in 1.0f64..5_000.0, seed in 0u64..1000,
    ) {
        let service = QueueSettings {
            batch, window, computing, waiting, messages_a_round: 40, cold: 0.1, pollers: 5, pollers_a_minute: 300, pollers_max, concurrency,
            visibility: 3.0, receives_max,
        };
        let load = Load { rate: 1.0, burst, from: 2.0, until: 4.0, end: 6.0 };
        let found = simulate(service, load, seed);
        prop_assert_eq!(found.arrived, found.answered + found.dead_lettered);
        prop_assert!(found.running_max <= concurrency.min(pollers_max));
        prop_assert_eq!(found.seconds.last().map(|last| last.waiting), Some(0));
        prop_assert_eq!(simulate(service, load, seed), found);
    }
}

#[test]
fn what_a_queue_keeps_no_longer_is_lost() {
    let slow = QueueSettings { computing: 100.0, waiting: 0.0, ..servers(1, 0.0) };
    let load = Load { rate: 0.0, burst: 1000.0, from: 0.0, until: 10.0, end: 10.0 };
    let found = simulate(slow, load, 8);
    assert!(found.lost > 0 && found.oldest_max > 4.0 * 86_400.0, "{found:?}");
    assert_eq!(found.arrived, found.answered + found.lost);
}
