//! Benchmarks of training, scoring and explaining on synthetic trips (`make bench`); `make bench-peers` compares with
//! other libraries.
//!
//! Labels are shaped like trip durations, so that trees are about as deep as real ones. Rows are generated with a
//! fixed seed; the times serve to compare one build with the one before.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use linfa::ParamGuard;
use trees::boost::{BoostParams, Boosted, Labelled, Objective, Settings, go_on};
use trees::{Explainer, Kernel, Scorer};

const N_FEATURES: usize = 10;
const TRAINED_ROWS: usize = 200_000;
const SCORED_ROWS: usize = 20_000;

/// Rows, with one label each for [`Objective::Squared`] and for [`Objective::Logistic`].
struct Trips {
    values: Vec<f32>,
    minutes: Vec<f32>,
    tipped: Vec<f32>,
}

impl Trips {
    fn new(n_rows: usize) -> Self {
        let mut state = 42u64;
        // Vigna's xorshift64*, which is good enough for synthetic values.
        let mut uniform = move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u32 << 24) as f32
        };
        let mut trips = Self { values: Vec::new(), minutes: Vec::new(), tipped: Vec::new() };
        for _ in 0..n_rows {
            let [miles, hour, weekday] =
                [uniform().powi(2) * 20.0, (uniform() * 24.0).floor(), (uniform() * 7.0).floor()];
            let place: [f32; 4] = std::array::from_fn(|_| uniform());
            let codes: [f32; 3] = std::array::from_fn(|at| (uniform() * (2 + at) as f32).floor());
            let rush = if (7.0..10.0).contains(&hour) && weekday < 5.0 { 1.6 } else { 1.0 };
            let noise = uniform() + uniform() - 1.0;
            trips.minutes.push(3.0 + 2.4 * miles * rush * (0.7 + place[0] * place[2]) + 3.0 * noise);
            trips.tipped.push(f32::from(u8::from(uniform() < 0.3 + 0.4 * place[1] + 0.01 * miles)));
            trips.values.extend([miles, hour, weekday]);
            trips.values.extend(place);
            trips.values.extend(codes);
        }
        trips
    }

    fn labelled(&self, objective: Objective) -> Labelled<'_> {
        let labels = if objective == Objective::Logistic { &self.tipped } else { &self.minutes };
        Labelled { values: &self.values, n_features: N_FEATURES, labels, weights: None }
    }

    fn fit(&self, objective: Objective, rounds: u32, threads: usize) -> Boosted {
        self.fit_leaves(objective, rounds, 31, threads)
    }

    fn fit_leaves(&self, objective: Objective, rounds: u32, max_leaves: u32, threads: usize) -> Boosted {
        let settings = Settings { objective, rounds, max_leaves, ..Settings::default() };
        let params = BoostParams::new(settings).check();
        let fitted = params.map(|params| params.fit(&self.labelled(objective), None, threads, &mut go_on));
        match fitted {
            Ok(Ok(boosted)) => boosted,
            Ok(Err(error)) | Err(error) => unreachable!("{error}"),
        }
    }
}

fn training(criterion: &mut Criterion) {
    let trips = Trips::new(TRAINED_ROWS);
    let mut group = criterion.benchmark_group("train 200k x 10, 20 rounds, 31 leaves");
    group.sample_size(10).throughput(Throughput::Elements(TRAINED_ROWS as u64));
    for (name, objective) in [
        ("squared", Objective::Squared),
        ("logistic", Objective::Logistic),
        ("quantile", Objective::Quantile(0.9)),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| trips.fit(objective, 20, 1)));
    }
    group.bench_function("squared, all threads", |bencher| {
        bencher.iter(|| trips.fit(Objective::Squared, 20, 0));
    });
}

fn scoring(criterion: &mut Criterion) {
    let ensemble = Trips::new(TRAINED_ROWS).fit(Objective::Squared, 300, 0).ensemble;
    let rows = Trips::new(SCORED_ROWS).values;
    let scorer = Scorer::new(ensemble.clone());
    let mut group = criterion.benchmark_group("score 300 x 31");
    group.throughput(Throughput::Elements(SCORED_ROWS as u64)).sample_size(20);
    for (name, kernel) in
        [("batch", Kernel::Auto), ("batch, portable", Kernel::Portable), ("batch, plain walk", Kernel::Walk)]
    {
        group.bench_function(name, |bencher| bencher.iter(|| scorer.predict_by(kernel, &rows)));
    }
    group.bench_function("row by row", |bencher| {
        bencher.iter(|| rows.chunks_exact(N_FEATURES).map(|row| scorer.predict_row(row)).sum::<f64>());
    });
    group.finish();

    let mut group = criterion.benchmark_group("300 x 31");
    if let Ok(explainer) = Explainer::by_rows(ensemble, &rows) {
        let mut every = rows.chunks_exact(N_FEATURES).cycle();
        group.bench_function("explain a row", |bencher| {
            bencher.iter_batched(
                || every.next().unwrap_or_default(),
                |row| explainer.contributions(row),
                BatchSize::SmallInput,
            );
        });
    }
}

/// From an ensemble's bytes to what scores: trees are read and checked, and their form is prepared.
fn loading(criterion: &mut Criterion) {
    let trips = Trips::new(TRAINED_ROWS);
    let mut group = criterion.benchmark_group("load");
    for (name, rounds, leaves) in [("300 x 31", 300, 31), ("1,000 x 63", 1000, 63), ("600 x 127", 600, 127)] {
        let ensemble = trips.fit_leaves(Objective::Squared, rounds, leaves, 0).ensemble;
        let written = postcard::to_stdvec(&ensemble).unwrap_or_default();
        group.throughput(Throughput::Elements(ensemble.n_leaves() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| postcard::from_bytes::<Scorer>(black_box(&written)));
        });
    }
}

criterion_group!(benches, training, scoring, loading);
criterion_main!(benches);
