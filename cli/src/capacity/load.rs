//! What is simulated, and what comes of it.

use serde::Serialize;

/// What is before the queue and behind it. Times are seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueSettings {
    /// Messages of a batch at most.
    pub batch: u32,
    /// How long a poller waits for a whole batch.
    pub window: f64,
    /// Time to compute a batch of that size; smaller ones take as much less.
    pub computing: f64,
    /// Mean of the time to wait for a round of calls to the network, exponentially distributed.
    pub waiting: f64,
    /// Messages that a round of calls sends.
    pub messages_a_round: u64,
    /// What the first batch of a new environment takes more.
    pub cold: f64,
    /// Pollers at the beginning.
    pub pollers: u32,
    /// Pollers that are added in a minute while messages wait.
    pub pollers_a_minute: u32,
    /// Pollers at most.
    pub pollers_max: u32,
    /// Batches that may be answered at once.
    pub concurrency: u32,
    /// Time after which a message that was throttled can be received again.
    pub visibility: f64,
    /// Receives after which it is dead-lettered.
    pub receives_max: u32,
}

/// Messages that arrive at random, at a rate that is higher for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Messages a second before and after the burst.
    pub rate: f64,
    /// Messages a second in the burst.
    pub burst: f64,
    /// When it begins.
    pub from: f64,
    /// When it ends.
    pub until: f64,
    /// When no more messages arrive.
    pub end: f64,
}

/// The state at the end of a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Second {
    /// Seconds after the beginning.
    pub at: f64,
    /// Messages that wait, and may be received.
    pub waiting: u64,
    /// Age of the oldest that is not answered, seconds.
    pub oldest: f64,
    /// Batches that are being answered.
    pub running: u32,
    /// Messages that are received and not answered.
    pub in_flight: u64,
    /// Batches that were throttled so far.
    pub throttled: u64,
    /// Messages that were dead-lettered so far.
    pub dead_lettered: u64,
}

/// What became of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BurstOutcome {
    /// Messages that arrived.
    pub arrived: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that were received too often.
    pub dead_lettered: u64,
    /// Those that were not answered when the queue began to lose what it had kept for four days.
    pub lost: u64,
    /// Batches.
    pub batches: u64,
    /// Batches that were throttled, each counted once.
    pub throttled: u64,
    /// Most batches at once.
    pub running_max: u32,
    /// Most messages that waited.
    pub waiting_max: u64,
    /// Most messages that were received and not answered.
    pub in_flight_max: u64,
    /// Greatest age of an unanswered message, seconds.
    pub oldest_max: f64,
    /// Mean time from arrival to the beginning of a batch, seconds.
    pub wait_mean: f64,
    /// Time from arrival to answer of half of the messages, and of 99 %, seconds.
    pub answered_within: [f64; 2],
    /// Second by second.
    #[serde(skip)]
    pub seconds: Vec<Second>,
}
