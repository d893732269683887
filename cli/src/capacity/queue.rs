//! A queue before Lambda, event by event: messages arrive, pollers hand them over in batches, and as many are answered at once as may run.
//!
//! It is the model of queueing theory (`tests` compares it with M/M/1, M/M/c and M/D/1) with what AWS documents of the event source mapping of a
//! standard queue: it begins with five pollers, adds up to 300 a minute while messages wait, up to a maximum
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>). A batch that is throttled is tried again until its visibility timeout
//! has passed; then it can be received again, and after so many receives it is dead-lettered
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>). Unlike there, pollers do not become fewer meanwhile.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::load::{BurstOutcome, Load, QueueSettings, Second};

/// Messages that arrive together are so many that there are no more arrivals in a second than this.
const ARRIVALS_A_SECOND_MAX: f64 = 1000.0;
/// What a queue keeps no longer, seconds: `MessageRetentionPeriod` of the trips queue.
const RETENTION: f64 = 4.0 * 86_400.0;

/// Messages that arrived together.
#[derive(Debug, Clone, Copy)]
struct Group {
    arrived: f64,
    n: u64,
    receives: u32,
}

#[derive(Debug)]
enum Event {
    Arrival(u64),
    /// A poller has waited for a whole batch.
    Window,
    Answered(Vec<Group>),
    /// The visibility timeout of a throttled batch has passed.
    Visible(u64),
    Second,
}

/// An event at its moment; those of the same moment are in the order in which they were made.
#[derive(Debug)]
struct Timed {
    at: f64,
    number: u64,
    event: Event,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    /// The earliest is the greatest, so that a heap hands it over first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.number.cmp(&self.number))
    }
}

/// A queue under a load.
struct Simulation {
    service: QueueSettings,
    load: Load,
    rng: ChaCha12Rng,
    now: f64,
    events: BinaryHeap<Timed>,
    n_events: u64,
    waiting: VecDeque<Group>,
    n_waiting: u64,
    n_in_flight: u64,
    /// Messages that are not answered, by the nanosecond in which they arrived.
    unanswered: BTreeMap<u64, u64>,
    running: u32,
    /// Batches that are throttled, by their number.
    throttled: BTreeMap<u64, Vec<Group>>,
    /// Environments that there are.
    warm: u32,
    pollers: f64,
    window_is_open: bool,
    waits: f64,
    /// Times to an answer, and of how many messages.
    ages: Vec<(f64, u64)>,
    outcome: BurstOutcome,
}

/// Simulates a load until every message is answered or dead-lettered, or the first is lost; the same seed gives the same.
pub fn simulate(service: QueueSettings, load: Load, seed: u64) -> BurstOutcome {
    let mut simulation = Simulation {
        service,
        load,
        rng: ChaCha12Rng::seed_from_u64(seed),
        now: 0.0,
        events: BinaryHeap::new(),
        n_events: 0,
        waiting: VecDeque::new(),
        n_waiting: 0,
        n_in_flight: 0,
        unanswered: BTreeMap::new(),
        running: 0,
        throttled: BTreeMap::new(),
        warm: 0,
        pollers: f64::from(service.pollers),
        window_is_open: false,
        waits: 0.0,
        ages: Vec::new(),
        outcome: BurstOutcome::default(),
    };
    simulation.run();
    simulation.ended()
}

impl Simulation {
    fn run(&mut self) {
        self.next_arrival();
        self.after(1.0, Event::Second);
        while let Some(Timed { at, event, .. }) = self.events.pop() {
            self.now = at;
            match event {
                Event::Arrival(n) => self.arrive(n),
                Event::Window => self.window_is_open = false,
                Event::Answered(groups) => self.answer(&groups),
                Event::Visible(number) => self.come_back(number),
                Event::Second => {
                    self.end_second();
                    if self.is_over() {
                        break;
                    }
                    self.after(1.0, Event::Second);
                }
            }
            self.poll();
        }
    }

    fn is_over(&self) -> bool {
        (self.now >= self.load.end && self.unanswered.is_empty()) || self.oldest() > RETENTION
    }

    fn after(&mut self, delay: f64, event: Event) {
        self.n_events += 1;
        self.events.push(Timed { at: self.now + delay, number: self.n_events, event });
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.rng.random::<f64>()).ln()
    }

    fn rate(&self) -> f64 {
        if (self.load.from..self.load.until).contains(&self.now) { self.load.burst } else { self.load.rate }
    }

    fn next_arrival(&mut self) {
        let rate = self.rate();
        let next_change = [self.load.from, self.load.until].into_iter().find(|at| *at > self.now);
        let n = (rate / ARRIVALS_A_SECOND_MAX).ceil().max(1.0);
        let gap = if rate > 0.0 { self.exponential(n / rate) } else { f64::INFINITY };
        match next_change {
            // An exponential time has no memory: at the new rate it begins anew.
            Some(change) if self.now + gap > change => self.after(change - self.now, Event::Arrival(0)),
            _ if self.now + gap < self.load.end => self.after(gap, Event::Arrival(n as u64)),
            _ => (),
        }
    }

    fn arrive(&mut self, n: u64) {
        if n > 0 {
            self.outcome.arrived += n;
            *self.unanswered.entry(nanos(self.now)).or_default() += n;
            self.wait(Group { arrived: self.now, n, receives: 0 });
        }
        self.next_arrival();
    }

    fn wait(&mut self, group: Group) {
        self.n_waiting += group.n;
        self.outcome.waiting_max = self.outcome.waiting_max.max(self.n_waiting);
        self.waiting.push_back(group);
    }

    /// Hands batches over, as many as there are pollers for. One that is not whole waits for the end of its window.
    fn poll(&mut self) {
        while self.running < self.service.concurrency
            && let Some((_, groups)) = self.throttled.pop_first()
        {
            self.begin(groups);
        }
        let pollers = (self.pollers as u32).min(self.service.pollers_max);
        while self.n_waiting > 0 && self.running + (self.throttled.len() as u32) < pollers {
            let window = self.window_left();
            if self.n_waiting < u64::from(self.service.batch) && window > 0.0 {
                if !self.window_is_open {
                    self.window_is_open = true;
                    self.after(window, Event::Window);
                }
                return;
            }
            let groups = self.receive();
            if self.running < self.service.concurrency { self.begin(groups) } else { self.throttle(groups) }
        }
    }

    /// Returns for how long the first message still waits for others, seconds.
    fn window_left(&self) -> f64 {
        let left = self.waiting.front().map_or(0.0, |group| group.arrived + self.service.window - self.now);
        // Less is an error of rounding, which would not let the time pass.
        if left < 1e-6 { 0.0 } else { left }
    }

    fn receive(&mut self) -> Vec<Group> {
        let (mut groups, mut room) = (Vec::new(), u64::from(self.service.batch));
        while room > 0
            && let Some(first) = self.waiting.front_mut()
        {
            let n = first.n.min(room);
            groups.push(Group { n, receives: first.receives + 1, ..*first });
            (first.n, room) = (first.n - n, room - n);
            if first.n == 0 {
                self.waiting.pop_front();
            }
        }
        let n: u64 = groups.iter().map(|group| group.n).sum();
        (self.n_waiting, self.n_in_flight) = (self.n_waiting - n, self.n_in_flight + n);
        self.outcome.in_flight_max = self.outcome.in_flight_max.max(self.n_in_flight);
        groups
    }

    fn begin(&mut self, groups: Vec<Group>) {
        self.running += 1;
        self.outcome.batches += 1;
        self.outcome.running_max = self.outcome.running_max.max(self.running);
        let n: u64 = groups.iter().map(|group| group.n).sum();
        self.waits += groups.iter().map(|group| (self.now - group.arrived) * group.n as f64).sum::<f64>();
        let cold = if self.running > self.warm { self.service.cold } else { 0.0 };
        self.warm = self.warm.max(self.running);
        let computing = self.service.computing * n as f64 / f64::from(self.service.batch);
        let rounds = n.div_ceil(self.service.messages_a_round) as f64;
        let took = cold + computing + self.exponential(self.service.waiting * rounds);
        self.after(took, Event::Answered(groups));
    }

    fn throttle(&mut self, groups: Vec<Group>) {
        self.outcome.throttled += 1;
        self.throttled.insert(self.outcome.throttled, groups);
        self.after(self.service.visibility, Event::Visible(self.outcome.throttled));
    }

    fn answer(&mut self, groups: &[Group]) {
        self.running -= 1;
        for group in groups {
            self.ages.push((self.now - group.arrived, group.n));
            self.outcome.answered += group.n;
            self.forget(group);
        }
    }

    fn come_back(&mut self, number: u64) {
        for group in self.throttled.remove(&number).unwrap_or_default() {
            if group.receives >= self.service.receives_max {
                self.outcome.dead_lettered += group.n;
                self.forget(&group);
            } else {
                self.n_in_flight -= group.n;
                self.wait(group);
            }
        }
    }

    /// Counts messages that are answered, or dead-lettered, as gone.
    fn forget(&mut self, group: &Group) {
        self.n_in_flight -= group.n;
        let arrived = nanos(group.arrived);
        if let Some(n) = self.unanswered.get_mut(&arrived) {
            *n -= group.n;
            if *n == 0 {
                self.unanswered.remove(&arrived);
            }
        }
    }

    /// Returns the age of the oldest message that is not answered, seconds.
    fn oldest(&self) -> f64 {
        self.unanswered.keys().next().map_or(0.0, |arrived| self.now - *arrived as f64 / 1e9)
    }

    fn end_second(&mut self) {
        let oldest = self.oldest();
        self.outcome.oldest_max = self.outcome.oldest_max.max(oldest);
        self.outcome.seconds.push(Second {
            at: self.now,
            waiting: self.n_waiting,
            oldest,
            running: self.running,
            in_flight: self.n_in_flight,
            throttled: self.outcome.throttled,
            dead_lettered: self.outcome.dead_lettered,
        });
        if self.n_waiting > 0 {
            let more = f64::from(self.service.pollers_a_minute) / 60.0;
            self.pollers = (self.pollers + more).min(f64::from(self.service.pollers_max));
        }
    }

    fn ended(mut self) -> BurstOutcome {
        self.ages.sort_by(|one, other| one.0.total_cmp(&other.0));
        self.outcome.answered_within = [0.5, 0.99].map(|share| {
            let (wanted, mut n) = (share * self.outcome.answered as f64, 0);
            let at = self.ages.iter().find(|(_, of)| {
                n += of;
                n as f64 >= wanted
            });
            at.map_or(0.0, |(age, _)| *age)
        });
        self.outcome.lost = self.unanswered.values().sum();
        self.outcome.wait_mean = self.waits / (self.outcome.answered.max(1)) as f64;
        self.outcome
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

#[cfg(test)]
mod tests;
