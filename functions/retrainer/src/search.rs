//! Chooses the parameters of boosted trees to try next by TPE, and prunes trials that fall behind.
//!
//! TPE: Bergstra, Bardenet, Bengio and Kégl 2011, "Algorithms for Hyper-Parameter Optimization", in the crate `tpe`,
//! with one estimator per parameter. A draw depends only on the seed, the number of the trial and the earlier trials.
//! Pruning follows the median rule (Golovin et al. 2017, "Google Vizier"): a trial is pruned when it is worse than the
//! median of the complete ones.

use model::candidates::boosted::BoostedParams;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use registry::runs::{Trial, TrialOutcome};
use tpe::{TpeOptimizerBuilder, parzen_estimator, range};

/// Each parameter with its range, drawn on a logarithmic scale: around values that do well on a month and on a year.
const SPACE: [(Parameter, f64, f64); 4] = [
    (Parameter::Leaves, 15.0, 255.0),
    (Parameter::LearningRate, 0.04, 0.2),
    (Parameter::MinLeafRows, 10.0, 200.0),
    (Parameter::L2, 0.5, 50.0),
];

/// Number of trials, the first included, before the estimators use their results.
const STARTUP: usize = 4;
/// Number of complete trials before others are pruned.
const PEERS_MIN: usize = 2;
/// No trial is pruned before its rounds times rate reach this share of the greatest complete one: some start slowly.
const WARMUP_SHARE: f64 = 1.0 / 3.0;

#[derive(Debug, Clone, Copy)]
enum Parameter {
    Leaves,
    LearningRate,
    MinLeafRows,
    L2,
}

/// A search with its trials so far.
#[derive(Debug)]
pub struct Search {
    seed: u64,
    trials: Vec<Trial>,
}

impl Search {
    /// Starts a search from `first`, a trial that has ended.
    pub fn new(seed: u64, first: Trial) -> Self {
        Self { seed, trials: vec![first] }
    }

    /// Returns the parameters to try next.
    pub fn ask(&self) -> BoostedParams {
        let mut params = self.trials[0].params.clone();
        for (dimension, (parameter, low, high)) in SPACE.into_iter().enumerate() {
            let drawn = libm::exp(self.draw(dimension, libm::log(low), libm::log(high))).clamp(low, high);
            parameter.set(&mut params, drawn);
        }
        params
    }

    /// Returns the parameters of the next trials that do not depend on how those before them end.
    pub fn independent(&self) -> Vec<BoostedParams> {
        let mut ahead = Self { seed: self.seed, trials: self.trials.clone() };
        let mut independent = Vec::new();
        while ahead.trials.len() < STARTUP {
            independent.push(ahead.ask());
            ahead.tell(self.trials[0].clone());
        }
        independent
    }

    /// Records a trial that has ended.
    pub fn tell(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    /// Returns whether a trial with learning rate `rate` and these `losses` so far, one per round, is to be pruned.
    pub fn is_behind(&self, rate: f64, losses: &[f64]) -> bool {
        // Trials with different learning rates are compared at the same rounds times learning rate.
        let learned = losses.len() as f64 * rate;
        let complete = self.trials.iter().filter(|trial| matches!(trial.outcome, TrialOutcome::Complete(_)));
        let mut peers: Vec<f64> = Vec::new();
        let mut most_learned: f64 = 0.0;
        for peer in complete {
            most_learned = most_learned.max(peer.losses.len() as f64 * peer.params.rate());
            let then = (learned / peer.params.rate()) as usize;
            peers.extend(best(&peer.losses[..then.min(peer.losses.len())]));
        }
        if peers.len() < PEERS_MIN || learned < WARMUP_SHARE * most_learned {
            return false;
        }
        peers.sort_unstable_by(f64::total_cmp);
        best(losses).is_some_and(|best| best > peers[peers.len() / 2])
    }

    /// Returns the complete trial with the lowest finite loss, and that loss; the earlier one of a tie.
    pub fn best(&self) -> Option<(&Trial, f64)> {
        let complete = self.trials.iter().filter_map(|trial| match trial.outcome {
            TrialOutcome::Complete(loss) if loss.is_finite() => Some((trial, loss)),
            _ => None,
        });
        complete.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Returns every trial, in order.
    pub fn into_trials(self) -> Vec<Trial> {
        self.trials
    }

    fn draw(&self, dimension: usize, low: f64, high: f64) -> f64 {
        // Every draw has its own generator, so that the dimensions do not influence each other.
        let number = ((self.trials.len() as u64) << 8) | dimension as u64;
        let mut random =
            Xoshiro256PlusPlus::seed_from_u64(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let Ok(range) = range(low, high) else { return low };
        let Ok(mut estimator) = TpeOptimizerBuilder::new().build(parzen_estimator(), range) else {
            return low;
        };
        if self.trials.len() >= STARTUP {
            for (rank, trial) in self.ranked().into_iter().enumerate() {
                let at = libm::log(SPACE[dimension].0.get(&trial.params));
                // `tell` only sorts by value, so ranks suffice; it refuses a default outside of the range.
                let _ = estimator.tell(at, rank as f64);
            }
        }
        estimator.ask(&mut random).unwrap_or(low)
    }

    /// Returns complete trials by their loss, then pruned ones, those that learned most first, then cut ones.
    fn ranked(&self) -> Vec<&Trial> {
        let key = |trial: &Trial| match trial.outcome {
            TrialOutcome::Complete(loss) => (0, loss),
            TrialOutcome::Pruned => (1, -(trial.losses.len() as f64) * trial.params.rate()),
            TrialOutcome::Cut => (2, 0.0),
        };
        let mut ranked: Vec<&Trial> = self.trials.iter().collect();
        ranked.sort_by(|a, b| key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)));
        ranked
    }
}

impl Parameter {
    fn set(self, params: &mut BoostedParams, value: f64) {
        match self {
            Self::Leaves => params.leaves = Some(value.round() as u32),
            Self::LearningRate => params.learning_rate = Some(value),
            Self::MinLeafRows => params.min_leaf_rows = value.round() as u32,
            Self::L2 => params.l2 = value,
        }
    }

    fn get(self, params: &BoostedParams) -> f64 {
        match self {
            Self::Leaves => f64::from(params.leaves.unwrap_or_default().max(1)),
            Self::LearningRate => params.rate(),
            Self::MinLeafRows => f64::from(params.min_leaf_rows),
            Self::L2 => params.l2,
        }
    }
}

fn best(losses: &[f64]) -> Option<f64> {
    losses.iter().copied().min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns losses that are least at 60 leaves, a rate of 0.08 and 30 rows, and fall with rounds times rate.
    fn losses(params: &BoostedParams) -> Vec<f64> {
        let off = |value: f64, best: f64| (value / best).ln().powi(2);
        let floor = 1.0
            + off(f64::from(params.leaves.unwrap()), 60.0)
            + off(params.rate(), 0.08)
            + off(f64::from(params.min_leaf_rows), 30.0);
        let rounds = (10.0 / params.rate()) as usize;
        (1..=rounds).map(|round| floor + (-(round as f64) * params.rate()).exp()).collect()
    }

    fn run(params: BoostedParams, search: Option<&Search>) -> Trial {
        let all = losses(&params);
        for round in 1..=all.len() {
            if search.is_some_and(|search| search.is_behind(params.rate(), &all[..round])) {
                return Trial { params, outcome: TrialOutcome::Pruned, losses: all[..round].to_vec() };
            }
        }
        Trial { params, outcome: TrialOutcome::Complete(all[all.len() - 1]), losses: all }
    }

    fn search(seed: u64, trials: usize) -> Search {
        let first = BoostedParams { leaves: Some(250), ..BoostedParams::default() };
        let mut search = Search::new(seed, run(first, None));
        for _ in 0..trials {
            let trial = run(search.ask(), Some(&search));
            search.tell(trial);
        }
        search
    }

    #[test]
    fn the_same_seed_asks_the_same() {
        assert_eq!(search(7, 30).into_trials(), search(7, 30).into_trials());
        assert_ne!(search(7, 5).into_trials(), search(8, 5).into_trials());
    }

    #[test]
    fn what_is_asked_is_within_its_range_and_gets_better() {
        let (mut first, mut last) = (0.0, 0.0);
        for seed in 0..10 {
            let trials = search(seed, 60).into_trials();
            for trial in &trials[1..] {
                for (parameter, low, high) in SPACE {
                    assert!((low.floor()..=high).contains(&parameter.get(&trial.params)), "{trial:?}");
                }
            }
            let mean = |trials: &[Trial]| {
                trials.iter().map(|trial| *losses(&trial.params).last().unwrap()).sum::<f64>()
                    / trials.len() as f64
            };
            first += mean(&trials[1..11]);
            last += mean(&trials[51..]);
        }
        assert!(last < 0.7 * first, "{last} after {first}");
    }

    #[test]
    fn what_falls_behind_is_pruned_and_never_wins() {
        let search = search(3, 40);
        let best = search.best().unwrap().1;
        let trials = search.into_trials();
        let pruned = trials.iter().filter(|trial| trial.outcome == TrialOutcome::Pruned).count();
        assert!((5..36).contains(&pruned), "{pruned} of 40 pruned");
        assert!(best < losses(&trials[0].params).pop().unwrap());
        let rounds = |trial: &Trial| trial.losses.len() as f64 * trial.params.rate();
        assert!(trials.iter().all(|trial| rounds(trial) >= 10.0 * WARMUP_SHARE - 0.2), "none before a third");
    }

    #[test]
    fn a_figure_that_is_none_never_wins() {
        let first = run(BoostedParams { leaves: Some(31), ..BoostedParams::default() }, None);
        let mut search = Search::new(1, first.clone());
        search.tell(Trial { outcome: TrialOutcome::Complete(f64::NAN), ..first.clone() });
        search.tell(Trial { outcome: TrialOutcome::Cut, losses: Vec::new(), ..first });
        assert!(search.best().unwrap().1.is_finite());
        search.ask();
    }
}
